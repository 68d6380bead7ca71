//! XEP-0004: Data Forms. A [`Form`] says what is asked for, or what was found; what comes back is read by the form that
//! asked, so that nothing gets past it that it did not ask for.

use std::fmt;
use xmpp_core::{
    Jid, ns,
    xml::{Node, Writer},
};

/// A form to be filled in, or a result. Its fields are scoped by their form type (XEP-0068 3.1).
#[derive(Debug, Clone)]
pub(crate) struct Form {
    /// Title and instructions of a form to be filled in; a result has neither.
    asks: Option<(&'static str, &'static str)>,
    form_type: &'static str,
    fields: Vec<Field>,
}

/// One field of a form.
#[derive(Clone)]
pub(crate) struct Field {
    kind: FieldType,
    var: &'static str,
    label: &'static str,
    required: bool,
    values: Vec<String>,
    options: &'static [(&'static str, &'static str)],
    /// Whether something else than the options may be filled in.
    open: bool,
}

/// What a field takes (XEP-0004 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldType {
    /// One line.
    TextSingle,
    /// One line that is not shown, such as a password.
    TextPrivate,
    /// Lines, a value each.
    TextMulti,
    /// One address.
    JidSingle,
    /// Addresses.
    JidMulti,
    /// One of the options.
    ListSingle,
    /// Any of the options.
    ListMulti,
    /// Yes or no.
    Boolean,
}

/// Why a submitted form is refused, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FormError(pub(crate) &'static str);

/// What was filled in, checked against the form that asked: of the right number, addresses that are some, options that
/// were offered. Fields left empty are not in it (XEP-0004 3.6).
#[derive(Default)]
pub(crate) struct Submission {
    texts: Vec<(&'static str, Vec<String>)>,
    jids: Vec<(&'static str, Vec<Jid>)>,
}

impl Form {
    /// A form to be filled in.
    pub(crate) fn ask(
        form_type: &'static str,
        title: &'static str,
        instructions: &'static str,
    ) -> Self {
        Self { asks: Some((title, instructions)), form_type, fields: Vec::new() }
    }

    /// Something that was found, or is told of oneself (XEP-0128).
    pub(crate) fn result(form_type: &'static str) -> Self {
        Self { asks: None, form_type, fields: Vec::new() }
    }

    /// The same with one more field.
    pub(crate) fn with(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// Writes `<x/>`.
    pub(crate) fn write(&self, out: &mut Writer) {
        out.open_ns("x", ns::DATA_FORM);
        out.attr("type", if self.asks.is_some() { "form" } else { "result" });
        if let Some((title, instructions)) = self.asks {
            out.open("title").text(title).close();
            out.open("instructions").text(instructions).close();
        }
        out.open("field").attr("type", "hidden").attr("var", FORM_TYPE);
        out.open("value").text(self.form_type).close().close();
        for field in &self.fields {
            field.write(out);
        }
        out.close();
    }

    /// Whether what was filled in says itself that it is this form (XEP-0068 3.1).
    pub(crate) fn is_named_by(&self, x: &Node) -> bool {
        let named = x.children.iter().filter(|child| child.attr("var") == Some(FORM_TYPE));
        named.flat_map(|field| &field.children).any(|value| value.text == self.form_type)
    }

    /// Whether all fields that were filled in are of this form.
    pub(crate) fn knows(&self, x: &Node) -> bool {
        let fields = x.children.iter().filter(|child| child.is(ns::DATA_FORM, "field"));
        fields
            .filter_map(|field| field.attr("var"))
            .all(|var| var == FORM_TYPE || self.fields.iter().any(|field| field.var == var))
    }

    /// Reads what was filled in.
    ///
    /// # Errors
    /// It is no submission of this form; the text says why.
    pub(crate) fn read(&self, x: &Node) -> Result<Submission, FormError> {
        // XEP-0050 3.5.1: what cancels is the command's action, not the form's type.
        if !x.is(ns::DATA_FORM, "x") || !matches!(x.attr("type"), Some("submit" | "cancel")) {
            return Err(FormError("that is no submitted form"));
        }
        let mut read = Submission::default();
        for node in x.children.iter().filter(|child| child.is(ns::DATA_FORM, "field")) {
            let values: Vec<&str> = node
                .children
                .iter()
                .filter(|child| child.is(ns::DATA_FORM, "value"))
                .map(|value| &*value.text)
                .collect();
            match node.attr("var") {
                Some(FORM_TYPE) if values != [self.form_type] => {
                    return Err(FormError("another form was asked for"));
                }
                // XEP-0004 3.1: what is not known is ignored.
                Some(var) => {
                    if let Some(field) = self.fields.iter().find(|field| field.var == var) {
                        read.take(field, &values)?;
                    }
                }
                None => {}
            }
        }
        let missing = |field: &&Field| field.required && !read.has(field.var);
        match self.fields.iter().find(missing) {
            Some(_) => Err(FormError("a required field is not filled in")),
            None => Ok(read),
        }
    }
}

impl Field {
    /// A field to be filled in, or to show under this label.
    pub(crate) fn new(kind: FieldType, var: &'static str, label: &'static str) -> Self {
        Self { kind, var, label, required: false, values: Vec::new(), options: &[], open: false }
    }

    /// The same, which must not be left empty.
    pub(crate) fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// The same with these values: what it says, or what is taken where nothing else is filled in.
    pub(crate) fn values(self, values: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { values: values.into_iter().map(Into::into).collect(), ..self }
    }

    /// The same with this choice: for each its label and its value.
    pub(crate) fn options(self, options: &'static [(&'static str, &'static str)]) -> Self {
        Self { options, ..self }
    }

    /// The same, for anything beside the options (XEP-0122 4.2.2).
    pub(crate) fn open(self) -> Self {
        Self { open: true, ..self }
    }

    fn write(&self, out: &mut Writer) {
        let Self { kind, var, label, required, values, options, open } = self;
        out.open("field").attr("type", kind.name()).attr("var", var).attr("label", label);
        if *open {
            out.open_ns("validate", ns::VALIDATE).attr("datatype", "xs:string");
            out.open("open").close().close();
        }
        if *required {
            out.open("required").close();
        }
        for value in values {
            out.open("value").text(value).close();
        }
        for (label, value) in *options {
            out.open("option").attr("label", label).open("value").text(value).close().close();
        }
        out.close();
    }
}

impl FieldType {
    fn name(self) -> &'static str {
        match self {
            Self::TextSingle => "text-single",
            Self::TextPrivate => "text-private",
            Self::TextMulti => "text-multi",
            Self::JidSingle => "jid-single",
            Self::JidMulti => "jid-multi",
            Self::ListSingle => "list-single",
            Self::ListMulti => "list-multi",
            Self::Boolean => "boolean",
        }
    }

    /// Whether it takes more than one value (XEP-0004 3.2).
    fn is_multi(self) -> bool {
        matches!(self, Self::TextMulti | Self::JidMulti | Self::ListMulti)
    }
}

impl Submission {
    /// The text, where there is one; the lines of several joined.
    pub(crate) fn text(&self, var: &str) -> Option<String> {
        let (_, lines) = self.texts.iter().find(|(name, _)| *name == var)?;
        Some(lines.join("\n"))
    }

    /// The texts of a field with several, such as they are.
    pub(crate) fn texts(&self, var: &str) -> &[String] {
        self.texts.iter().find(|(name, _)| *name == var).map_or(&[], |(_, texts)| texts)
    }

    /// The addresses, each once.
    pub(crate) fn jids(&self, var: &str) -> &[Jid] {
        self.jids.iter().find(|(name, _)| *name == var).map_or(&[], |(_, jids)| jids)
    }

    fn has(&self, var: &str) -> bool {
        self.texts.iter().any(|(name, _)| *name == var) || !self.jids(var).is_empty()
    }

    fn take(&mut self, field: &Field, values: &[&str]) -> Result<(), FormError> {
        if values.len() > 1 && !field.kind.is_multi() {
            return Err(FormError("a field has more than one value"));
        }
        if self.has(field.var) {
            return Err(FormError("a field stands there twice"));
        }
        if values.iter().all(|value| value.is_empty()) {
            return Ok(());
        }
        match field.kind {
            FieldType::JidSingle | FieldType::JidMulti => {
                let mut jids: Vec<Jid> = Vec::new();
                for value in values.iter().filter(|value| !value.is_empty()) {
                    let jid = value.parse().map_err(|_| FormError("that is no address"))?;
                    // XEP-0004 3.3: duplicates are ignored.
                    if !jids.contains(&jid) {
                        jids.push(jid);
                    }
                }
                self.jids.push((field.var, jids));
                return Ok(());
            }
            FieldType::ListSingle | FieldType::ListMulti => {
                // XEP-0004 3.3
                let offered = |value| field.options.iter().any(|(_, option)| *option == value);
                if !field.open && !values.iter().all(|value| offered(*value)) {
                    return Err(FormError("that was not among the options"));
                }
            }
            FieldType::TextSingle | FieldType::TextPrivate => {
                if values.iter().any(|value| value.contains(['\r', '\n'])) {
                    return Err(FormError("a field of one line has several"));
                }
            }
            FieldType::Boolean => {
                // XEP-0004 3.3
                if !values.iter().all(|value| matches!(*value, "0" | "1" | "false" | "true")) {
                    return Err(FormError("that is neither yes nor no"));
                }
            }
            FieldType::TextMulti => {}
        }
        self.texts.push((field.var, values.iter().map(|&value| value.to_owned()).collect()));
        Ok(())
    }
}

/// Without the values: passwords are among them.
impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Field({})", self.var)
    }
}

/// Without the values: passwords are among them.
impl fmt::Debug for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = self.texts.iter().map(|(var, _)| var);
        f.debug_list().entries(texts.chain(self.jids.iter().map(|(var, _)| var))).finish()
    }
}

/// The field that says which form it is (XEP-0068 3.1).
const FORM_TYPE: &str = "FORM_TYPE";

#[cfg(test)]
mod tests {
    use super::{FieldType::*, *};

    fn form() -> Form {
        Form::ask("urn:test", "A & B", "Fill it in.")
            .with(Field::new(JidSingle, "who", "Who").required())
            .with(Field::new(JidMulti, "others", "Others"))
            .with(Field::new(TextPrivate, "secret", "Secret"))
            .with(Field::new(TextMulti, "letter", "Letter").values(["Dear", "<you>"]))
            .with(Field::new(ListSingle, "delay", "Delay").options(&[("a", "1"), ("b", "2")]))
    }

    fn read(fields: &str) -> Result<Submission, &'static str> {
        let x = format!("<x xmlns='jabber:x:data' type='submit'>{fields}</x>");
        form().read(&Node::parse(x.as_bytes(), "").unwrap()).map_err(|FormError(why)| why)
    }

    fn field(var: &str, values: &[&str]) -> String {
        let values: String = values.iter().map(|value| format!("<value>{value}</value>")).collect();
        format!("<field var='{var}'>{values}</field>")
    }

    #[test]
    fn xep0004_3_a_form_is_written_in_the_order_of_its_schema() {
        let mut out = Writer::new();
        form().write(&mut out);
        let written = String::from_utf8(out.finish().to_vec()).unwrap();
        assert_eq!(
            written,
            "<x xmlns='jabber:x:data' type='form'><title>A &amp; B</title>\
             <instructions>Fill it in.</instructions>\
             <field type='hidden' var='FORM_TYPE'><value>urn:test</value></field>\
             <field type='jid-single' var='who' label='Who'><required/></field>\
             <field type='jid-multi' var='others' label='Others'/>\
             <field type='text-private' var='secret' label='Secret'/>\
             <field type='text-multi' var='letter' label='Letter'><value>Dear</value>\
             <value>&lt;you&gt;</value></field>\
             <field type='list-single' var='delay' label='Delay'>\
             <option label='a'><value>1</value></option>\
             <option label='b'><value>2</value></option></field></x>"
        );
    }

    #[test]
    fn xep0128_2_a_result_has_fields_and_no_instructions() {
        let mut out = Writer::new();
        let found = Field::new(TextSingle, "n", "Number").values(["1"]);
        Form::result("urn:test").with(found).write(&mut out);
        assert_eq!(
            out.finish(),
            "<x xmlns='jabber:x:data' type='result'>\
             <field type='hidden' var='FORM_TYPE'><value>urn:test</value></field>\
             <field type='text-single' var='n' label='Number'><value>1</value></field></x>"
        );
    }

    #[test]
    fn xep0004_3_what_is_filled_in_is_read_and_what_is_unknown_ignored() {
        let read = read(
            &[
                field("FORM_TYPE", &["urn:test"]),
                field("who", &["Romeo@Localhost"]),
                field("others", &["a@b", "A@B", "", "c@d"]),
                field("letter", &["Dear", "", "me"]),
                field("delay", &["2"]),
                field("secret", &[""]),
                field("unknown", &["x", "y"]),
                "<field type='fixed'><value>x</value></field>".to_owned(),
                "<other/>".to_owned(),
            ]
            .concat(),
        );
        let read = read.unwrap();
        assert_eq!(read.jids("who"), ["romeo@localhost".parse().unwrap()]);
        assert_eq!(read.jids("others"), ["a@b".parse().unwrap(), "c@d".parse().unwrap()]);
        assert_eq!(read.text("letter").as_deref(), Some("Dear\n\nme"));
        assert_eq!(read.text("delay").as_deref(), Some("2"));
        assert_eq!(read.text("secret"), None, "XEP-0004 3.6: empty is as good as absent");
        assert_eq!(read.text("unknown"), None);
    }

    #[test]
    fn xep0004_4_what_was_not_asked_for_is_refused() {
        let who = field("who", &["a@b"]);
        for (fields, why) in [
            (field("FORM_TYPE", &["urn:other"]) + &who, "another form"),
            (String::new(), "required"),
            (field("who", &[]), "required"),
            (field("who", &[""]), "required"),
            (field("who", &["@@"]), "no address"),
            (field("who", &["a@b", "c@d"]), "more than one value"),
            (who.clone() + &who, "twice"),
            (who.clone() + &field("others", &["a@b", "@"]), "no address"),
            (who.clone() + &field("delay", &["3"]), "options"),
            (who.clone() + &field("delay", &["1", "2"]), "more than one value"),
            (who.clone() + &field("secret", &["a\nb"]), "one line"),
        ] {
            let error = read(&fields).expect_err(&fields);
            assert!(error.contains(why), "{fields}: {error}");
        }
        for x in [
            "<x xmlns='jabber:x:data' type='result'/>",
            "<x xmlns='jabber:x:data'/>",
            "<x xmlns='urn:x' type='submit'/>",
        ] {
            let node = Node::parse(x.as_bytes(), "").unwrap();
            assert!(form().read(&node).is_err(), "{x}");
        }
    }

    #[test]
    fn a14_what_was_filled_in_is_not_shown_to_logs() {
        let read = read(&(field("who", &["a@b"]) + &field("secret", &["canary"]))).unwrap();
        assert_eq!(format!("{read:?}"), "[\"secret\", \"who\"]");
        let field = Field::new(TextPrivate, "secret", "").values(["canary"]);
        assert_eq!(format!("{field:?}"), "Field(secret)");
    }
}
