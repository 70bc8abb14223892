//! A leak to test with.

use jiff::Timestamp;

use super::OpenIncident;
use crate::event::Affected;
use crate::exposure::{Channel, Exposure};
use crate::severity::Profile;

/// A password of production that was seen in a chat at that moment.
pub(crate) fn seen_in_chat(at: Timestamp) -> OpenIncident {
    OpenIncident {
        title: "orders-db leaked".to_owned(),
        secrets: vec![Affected { secret: "orders-db".parse().unwrap(), because: "it leaked".to_owned() }],
        exposures: vec![Exposure {
            channel: Channel::Chat,
            audience: Channel::Chat.default_audience(),
            first_exposed: None,
            discovered: at,
            still_visible: None,
            place: String::new(),
            fingerprint: None,
            sealed: None,
            finding: None,
            channel_name: None,
        }],
        production: true,
        opens_others: 0,
        profile: Profile::Sev,
        drill: false,
    }
}
