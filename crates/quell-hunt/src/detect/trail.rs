//! The records of one credential, in order of time and split at the moments that matter.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;

use super::Context;
use super::baseline::{self, Habits};
use super::call::Call;
use super::network::{self, Holder, Known};
use crate::record::{Access, Outcome, Role};
use crate::registration::Registration;

/// One record, with what several detectors ask of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use<'a> {
    /// Its place in the slice.
    pub(super) index: usize,
    pub(super) access: &'a Access,
    /// `None` for the name of a service.
    pub(super) address: Option<IpAddr>,
    /// Whether the address is one of the owner's own.
    pub(super) is_known: bool,
    /// To whom the address is registered, as far as is known.
    pub(super) registered: Option<&'a Registration>,
}

/// All about one credential. Each list is sorted by time, with the records that have none at the end.
#[derive(Debug)]
pub(super) struct Trail<'a> {
    pub(super) credential: &'a str,
    /// What was done to it or said about it, and its uses.
    pub(super) all: Vec<Use<'a>>,
    /// Uses before the exposure.
    pub(super) before: Vec<Use<'a>>,
    /// Uses since, those without a time among them, and without [`Self::dead`].
    pub(super) since: Vec<Use<'a>>,
    /// Uses that were refused after the kill. They tell that it works, and are no burst of refusals.
    pub(super) dead: Vec<Use<'a>>,
    /// When it was exposed, as far as is known.
    pub(super) exposed: Option<Timestamp>,
    /// When it was killed.
    pub(super) revoked: Option<Timestamp>,
    /// What it did before the exposure, if that is enough to compare with.
    pub(super) habits: Option<Habits<'a>>,
    /// Whether there is data about to whom addresses are registered.
    pub(super) has_registrations: bool,
}

/// The records of each credential.
pub(super) fn trails<'a>(accesses: &'a [Access], context: &Context<'a>) -> Vec<Trail<'a>> {
    let known = Known::new(context.known);
    // A log has few addresses; each is read and looked up once.
    let mut addresses: BTreeMap<&str, (Option<IpAddr>, bool, Option<&Registration>)> = BTreeMap::new();
    let mut by_credential: BTreeMap<&str, Vec<Use<'_>>> = BTreeMap::new();
    for (index, access) in accesses.iter().enumerate() {
        let (address, is_known, registered) = access.address.as_deref().map_or((None, false, None), |text| {
            *addresses.entry(text).or_insert_with(|| {
                let address = network::address(text);
                let registered = context.registered.zip(address).and_then(|(all, it)| all.addresses.get(&it));
                (address, address.is_some_and(|address| known.contains(address)), registered)
            })
        });
        let list = by_credential.entry(&access.credential).or_default();
        list.push(Use { index, access, address, is_known, registered });
    }
    by_credential.into_iter().map(|(credential, all)| trail(credential, all, context)).collect()
}

fn trail<'a>(credential: &'a str, mut all: Vec<Use<'a>>, context: &Context<'_>) -> Trail<'a> {
    // The caller's order, unless clocks went back.
    all.sort_by_key(|it| (it.access.time.is_none(), it.access.time, it.index));
    let (mut before, mut since, mut dead) = (Vec::new(), Vec::new(), Vec::new());
    for it in all.iter().filter(|it| it.access.role == Role::Used) {
        let is_after_kill = it.is_after(context.revoked);
        if is_after_kill && matches!(it.access.outcome, Outcome::Denied(_)) {
            dead.push(*it);
        } else if it.access.time.zip(context.exposed).is_some_and(|(time, exposed)| time < exposed) {
            before.push(*it);
        } else {
            since.push(*it);
        }
    }
    let habits = baseline::habits(&before, context);
    let Context { exposed, revoked, .. } = *context;
    let has_registrations = context.registered.is_some();
    Trail { credential, all, before, since, dead, exposed, revoked, habits, has_registrations }
}

impl Trail<'_> {
    /// Whether there is anything but mentions.
    pub(super) fn is_used(&self) -> bool {
        !(self.before.is_empty() && self.since.is_empty() && self.dead.is_empty())
    }
}

impl<'a> Use<'a> {
    /// What was asked for.
    pub(super) fn call(&self) -> Call<'a> {
        Call::of(self.access)
    }

    /// Whose the address is, as far as is known.
    pub(super) fn holder(&self) -> Option<Holder> {
        self.address.map(|address| Holder::of(address, self.registered))
    }

    /// The country that the address is registered in.
    pub(super) fn country(&self) -> Option<&'a str> {
        self.registered.and_then(|it| it.country.as_deref())
    }

    /// Whether it is later than a moment that is known.
    pub(super) fn is_after(&self, moment: Option<Timestamp>) -> bool {
        self.access.time.zip(moment).is_some_and(|(time, moment)| time > moment)
    }

    /// Whether it may have been done: the log says so, or does not say how it ended.
    pub(super) fn may_be_done(&self) -> bool {
        match self.access.outcome {
            Outcome::Allowed | Outcome::Unknown => true,
            Outcome::Denied(_) | Outcome::Failed(_) => false,
        }
    }

    /// Whether a service acted for somebody: the log has its name where others have an address.
    pub(super) fn is_by_service(&self) -> bool {
        self.access.address.is_some() && self.address.is_none()
    }
}
