//! The faults that can be planted, one at a time.

/// What can be wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A repeated request gets another `<body/>` around the same payloads.
    ReplayDiffers,
    /// The payloads of a repeated request go to the server again.
    RepeatsAreProcessed,
    /// Early requests go to the server before those they should wait for.
    OrderOfArrival,
    /// The session goes on after `type='terminate'`.
    SidsOutliveTheirEnd,
    /// `ack` is one more than what was received.
    AckOffByOne,
    /// `ack` is the highest rid seen, with or without those below it.
    AckOverGaps,
    /// It holds one request more than it says.
    HoldsOneTooMany,
    /// It does not answer when `wait` has passed.
    WaitsForEver,
    /// It takes any rid above the last one for an early one.
    NoWindow,
    /// It takes no rid above 2^48.
    RidsOf48Bits,
    /// It ignores `content`.
    FixedContentType,
    /// It sends responses with payloads in chunks.
    Chunked,
    /// Its errors have no `Access-Control-Allow-Origin`.
    NoCorsOnErrors,
    /// It checks keys only where there are any.
    MissingKeysAccepted,
    /// It ignores `newkey` after the creation.
    NewKeysIgnored,
    /// It answers a pause with what waits for the client.
    PauseWithPayload,
    /// `requests` is `hold`.
    NoRoomAboveHold,
    /// Every response has the attributes of the first.
    TermsRepeated,
    /// It keeps silent sessions.
    NeverSilent,
    /// It drops the payloads of `type='terminate'`.
    LastWordsDropped,
    /// A rid that is too small is a bad request.
    Oracle,
    /// It takes comments out, and the rest for good.
    CommentsAccepted,
    /// It ignores text in the `<body/>`.
    TextAccepted,
    /// It says nothing to caches.
    Stored,
    /// It passes on the stanzas of a restart.
    RestartTakesStanzas,
    /// It forgets a response once it is written.
    CutLosesResponses,
    /// It counts sessions, and calls them by their number.
    GuessableSids,
    /// A session is silent from its last request on, whether that was answered or not.
    SilenceFromRequest,
    /// It does not say where else there is HTTPS.
    Nowhere,
    /// It takes requests of a secure session from anywhere.
    ServedOverHttp,
    /// It leaves the `<stream:error/>` out.
    ErrorsBare,
    /// It compresses long responses, whoever asks.
    GzipUnasked,
    /// Its compressed responses lack their end.
    GzipCutShort,
    /// It announces gzip, and takes what is compressed for what it looks like.
    GzipNotUndone,
    /// It forgets what nobody may have read when a session dies.
    UnreadForgotten,
    /// It drops the messages that a dead session did not take.
    UndeliveredDropped,
    /// It sends them back as errors, which is no fault.
    UndeliveredComesBack,
}
