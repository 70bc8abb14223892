//! XML as AWS's Query services answer it: elements and text, no attributes that matter.

use quick_xml::Reader;
use quick_xml::events::Event;
use zeroize::Zeroizing;

/// One element.
#[derive(Default)]
pub(crate) struct Node {
    name: String,
    /// May be a secret access key.
    text: Zeroizing<String>,
    children: Vec<Self>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Deeper and larger than any answer of IAM or STS.
const DEPTH_MAX: usize = 32;
const NODES_MAX: usize = 100_000;

impl Node {
    /// Reads one document; `None` for anything else.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::from_str(std::str::from_utf8(bytes).ok()?);
        reader.config_mut().expand_empty_elements = true;
        let mut open = vec![Self::default()];
        let mut count = 0;
        loop {
            match reader.read_event().ok()? {
                Event::Start(start) => {
                    count += 1;
                    if open.len() > DEPTH_MAX || count > NODES_MAX {
                        return None;
                    }
                    let name = std::str::from_utf8(start.local_name().into_inner()).ok()?.to_owned();
                    open.push(Self { name, ..Self::default() });
                }
                Event::End(_) => {
                    let done = open.pop()?;
                    open.last_mut()?.children.push(done);
                }
                Event::Text(text) => open.last_mut()?.text.push_str(&text.decode().ok()?),
                Event::CData(text) => open.last_mut()?.text.push_str(&text.decode().ok()?),
                Event::GeneralRef(reference) => {
                    let name = reference.decode().ok()?;
                    let known = quick_xml::escape::resolve_xml_entity(&name).map(str::to_owned);
                    let text = match reference.resolve_char_ref().ok()? {
                        Some(one) => one.to_string(),
                        None => known?,
                    };
                    open.last_mut()?.text.push_str(&text);
                }
                Event::Empty(_) | Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
                // Entities of one's own are how XML parsers are blown up; AWS sends none.
                Event::DocType(_) => return None,
                Event::Eof => break,
            }
        }
        let mut top = open.pop()?;
        (open.is_empty() && top.children.len() == 1).then(|| top.children.pop()).flatten()
    }

    /// The element at the end of a path of names.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, name| node.children.iter().find(|child| child.name == *name))
    }

    /// The text of the element at the end of a path; `None` when it is not there or empty.
    pub(crate) fn text(&self, path: &[&str]) -> Option<&str> {
        self.at(path).map(|node| node.text.trim()).filter(|text| !text.is_empty())
    }

    /// The elements of a list: AWS calls each of them `member`.
    pub(crate) fn members(&self, path: &[&str]) -> impl Iterator<Item = &Self> {
        self.at(path).into_iter().flat_map(|node| node.children.iter().filter(|child| child.name == "member"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_iam_are_read() {
        let text = br#"<?xml version="1.0"?><R xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ListR><Keys>
            <member><Id>A1</Id><Who>a&amp;b&#x2F;c</Who></member><member><Id>A2</Id><Who/></member></Keys></ListR></R>"#;
        let node = Node::parse(text).unwrap();
        assert_eq!(node.name, "R");
        let ids: Vec<_> = node.members(&["ListR", "Keys"]).map(|key| key.text(&["Id"]).unwrap()).collect();
        assert_eq!(ids, ["A1", "A2"]);
        let whose: Vec<_> = node.members(&["ListR", "Keys"]).map(|key| key.text(&["Who"])).collect();
        assert_eq!(whose, [Some("a&b/c"), None]);
    }

    #[test]
    fn other_things_are_not() {
        let deep = "<a>".repeat(200) + &"</a>".repeat(200);
        let doctype = "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>";
        for bad in ["", "hello", "<a>", "<a></b>", "<a/><b/>", "{\"a\":1}", "<a>&x;</a>", doctype, &deep] {
            assert!(Node::parse(bad.as_bytes()).is_none(), "{bad:.40}");
        }
        assert!(Node::parse(&[b'<', b'a', 0xff, b'>']).is_none());
    }
}
