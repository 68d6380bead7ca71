//! Kinds of stanzas and their types.

/// The kind of a stanza with its `type` (RFC 6121 4.7.1, 5.2.2; RFC 6120 8.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Kind {
    Message(MessageType),
    Presence(PresenceType),
    Iq(IqType),
}

/// RFC 6121 5.2.2. An unknown type counts as `Normal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum MessageType {
    Chat,
    Error,
    Groupchat,
    Headline,
    Normal,
}

/// RFC 6121 4.7.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum PresenceType {
    /// No `type` at all.
    Available,
    Unavailable,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
    Probe,
    Error,
}

/// RFC 6120 8.2.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum IqType {
    Get,
    Set,
    Result,
    Error,
}

impl Kind {
    /// The element's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Message(_) => "message",
            Self::Presence(_) => "presence",
            Self::Iq(_) => "iq",
        }
    }
    /// The value of `type`, where there must be one.
    pub fn type_name(self) -> Option<&'static str> {
        Some(match self {
            Self::Message(MessageType::Normal) | Self::Presence(PresenceType::Available) => {
                return None;
            }
            Self::Message(MessageType::Chat) => "chat",
            Self::Message(MessageType::Groupchat) => "groupchat",
            Self::Message(MessageType::Headline) => "headline",
            Self::Presence(PresenceType::Unavailable) => "unavailable",
            Self::Presence(PresenceType::Subscribe) => "subscribe",
            Self::Presence(PresenceType::Subscribed) => "subscribed",
            Self::Presence(PresenceType::Unsubscribe) => "unsubscribe",
            Self::Presence(PresenceType::Unsubscribed) => "unsubscribed",
            Self::Presence(PresenceType::Probe) => "probe",
            Self::Iq(IqType::Get) => "get",
            Self::Iq(IqType::Set) => "set",
            Self::Iq(IqType::Result) => "result",
            Self::Message(MessageType::Error)
            | Self::Presence(PresenceType::Error)
            | Self::Iq(IqType::Error) => "error",
        })
    }
    /// The kind of an error in reply; `None` for errors and results, which are never answered with an error
    /// (RFC 6120 8.2.3, 8.3.1).
    pub fn to_error(self) -> Option<Self> {
        match self {
            Self::Message(MessageType::Error)
            | Self::Presence(PresenceType::Error)
            | Self::Iq(IqType::Error | IqType::Result) => None,
            Self::Message(_) => Some(Self::Message(MessageType::Error)),
            Self::Presence(_) => Some(Self::Presence(PresenceType::Error)),
            Self::Iq(_) => Some(Self::Iq(IqType::Error)),
        }
    }
    /// Reads an element's name and its `type`. Not a stanza: `None`; a type that is not one: `Err` with the
    /// kind of an error in reply.
    pub(super) fn parse(name: &str, type_: Option<&str>) -> Option<Result<Self, Self>> {
        Some(match name {
            "message" => Ok(Self::Message(match type_ {
                Some("chat") => MessageType::Chat,
                Some("error") => MessageType::Error,
                Some("groupchat") => MessageType::Groupchat,
                Some("headline") => MessageType::Headline,
                _ => MessageType::Normal, // RFC 6121 5.2.2
            })),
            "presence" => match type_ {
                None => Ok(PresenceType::Available),
                Some("unavailable") => Ok(PresenceType::Unavailable),
                Some("subscribe") => Ok(PresenceType::Subscribe),
                Some("subscribed") => Ok(PresenceType::Subscribed),
                Some("unsubscribe") => Ok(PresenceType::Unsubscribe),
                Some("unsubscribed") => Ok(PresenceType::Unsubscribed),
                Some("probe") => Ok(PresenceType::Probe),
                Some("error") => Ok(PresenceType::Error),
                Some(_) => Err(PresenceType::Error), // RFC 6121 4.7.1
            }
            .map(Self::Presence)
            .map_err(Self::Presence),
            "iq" => match type_ {
                Some("get") => Ok(IqType::Get),
                Some("set") => Ok(IqType::Set),
                Some("result") => Ok(IqType::Result),
                Some("error") => Ok(IqType::Error),
                _ => Err(IqType::Error), // RFC 6120 8.2.3
            }
            .map(Self::Iq)
            .map_err(Self::Iq),
            _ => return None,
        })
    }
}
