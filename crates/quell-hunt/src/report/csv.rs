//! The timeline as CSV (RFC 4180), one row a record.

use std::io::{self, Write};

use super::clean;
use crate::record::Access;
use crate::registration::Registered;

const HEADER: &str = "time,credential,role,action,resource,actor,address,agent,outcome,detail,reads,made,format,account,region,request,bytes,object,place,sha256";

/// Columns that stand behind these when there is data about registrations.
const REGISTERED: &str = ",registered_asn,registered_name,registered_country";

/// Writes all records.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn Write, accesses: &[Access], registered: Option<&Registered>) -> io::Result<()> {
    write!(out, "{HEADER}{}\r\n", if registered.is_some() { REGISTERED } else { "" })?;
    for access in accesses {
        let made: Vec<String> =
            access.made.iter().map(|made| format!("{} {}", made.kind.word(), made.id)).collect();
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let fields = [
            access.time.map(|time| time.to_string()).unwrap_or_default(),
            access.credential.clone(),
            access.role.word().to_owned(),
            access.action.clone(),
            text(&access.resource),
            text(&access.actor),
            text(&access.address),
            text(&access.agent),
            access.outcome.word().to_owned(),
            access.outcome.detail().unwrap_or_default().to_owned(),
            access.reads.map(|reads| reads.to_string()).unwrap_or_default(),
            made.join("; "),
            access.format.word().to_owned(),
            text(&access.account),
            text(&access.region),
            text(&access.request),
            access.bytes.map(|bytes| bytes.to_string()).unwrap_or_default(),
            access.object.clone(),
            access.place.to_string(),
            access.sha256.clone(),
        ];
        let mut fields = fields.to_vec();
        if let Some(all) = registered {
            let of =
                access.address.as_deref().and_then(|address| all.of(address)).cloned().unwrap_or_default();
            let asn = of.asn.map(|asn| asn.to_string()).unwrap_or_default();
            fields.extend([asn, text(&of.name), text(&of.country)]);
        }
        out.write_all(row(&fields).as_bytes())?;
    }
    Ok(())
}

/// A row with its line end.
pub fn row(fields: &[String]) -> String {
    let fields: Vec<String> = fields.iter().map(|text| field(text)).collect();
    format!("{}\r\n", fields.join(","))
}

/// A field that no spreadsheet takes for a formula (<https://owasp.org/www-community/attacks/CSV_Injection>).
fn field(text: &str) -> String {
    let text = clean(text);
    let formula = text.starts_with(['=', '+', '-', '@', '|', '%']);
    let text = if formula { format!("'{text}") } else { text };
    if text.contains([',', '"', ';']) || formula {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{HEADER, field, write};
    use crate::report::sample::access;

    #[test]
    fn a_row_has_a_field_for_each_name_and_says_how_many_bytes_there_were() {
        let mut out = Vec::new();
        write(&mut out, &[access(0, "x")], None).unwrap();
        let text = String::from_utf8(out).unwrap();
        let row = text.lines().nth(1).unwrap();
        let at = HEADER.split(',').position(|name| name == "bytes").unwrap();
        // No text of this row has a comma in it.
        let fields: Vec<&str> = row.split(',').collect();
        assert_eq!((fields.len(), fields[at]), (HEADER.split(',').count(), "113"));
    }

    #[test]
    fn formulas_quotes_and_lines_are_defused() {
        assert_eq!(field("=cmd|' /C calc'!A0"), "\"'=cmd|' /C calc'!A0\"");
        assert_eq!(field("a,\"b\"\r\n=x"), "\"a,\"\"b\"\"\\u{d}\\u{a}=x\"");
        assert_eq!(field("aws-cli/2.1"), "aws-cli/2.1");
    }
}
