//! What an input has cost so far, and the end of it.

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Seek, SeekFrom};

use super::{Limits, Outcome};

/// Counts for one input, however deep.
pub(super) struct Meter<'l> {
    limits: &'l Limits,
    consumed: Cell<u64>,
    unpacked: Cell<u64>,
    members: Cell<u64>,
    /// Bytes that may still be held in memory.
    pub(super) memory: Cell<usize>,
    /// The limit that ended it.
    stopped: RefCell<Option<String>>,
    said: Cell<bool>,
    failed: RefCell<Option<io::Error>>,
}

impl<'l> Meter<'l> {
    pub(super) fn new(limits: &'l Limits) -> Self {
        Self {
            limits,
            consumed: Cell::new(0),
            unpacked: Cell::new(0),
            members: Cell::new(0),
            memory: Cell::new(limits.memory),
            stopped: RefCell::new(None),
            said: Cell::new(false),
            failed: RefCell::new(None),
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        Outcome { bytes: self.consumed.get(), error: self.failed.borrow_mut().take() }
    }

    /// One member more.
    pub(super) fn count_member(&self) -> io::Result<()> {
        self.check()?;
        self.members.set(self.members.get().saturating_add(1));
        if self.members.get() > self.limits.members {
            self.stop(format!("it has more than {} members", self.limits.members));
        }
        self.check()
    }

    /// True when an error has to be said: a limit only once, and not what the caller hears as the outcome.
    pub(super) fn is_news(&self, outermost: bool) -> bool {
        if self.stopped.borrow().is_some() {
            return !self.said.replace(true);
        }
        !(outermost && self.failed.borrow().is_some())
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.borrow().is_some()
    }

    fn count_unpacked(&self, bytes: usize) -> io::Result<()> {
        self.unpacked.set(self.unpacked.get().saturating_add(bytes as u64));
        let (unpacked, limits) = (self.unpacked.get(), self.limits);
        if unpacked > limits.unpacked {
            self.stop(format!("it unpacks to more than {} bytes", limits.unpacked));
        } else if unpacked > limits.free && unpacked / limits.ratio.max(1) > self.consumed.get() {
            self.stop(format!("it unpacks to more than {} times its size", limits.ratio));
        }
        self.check()
    }

    fn stop(&self, why: String) {
        self.stopped.borrow_mut().get_or_insert(why);
    }

    fn check(&self) -> io::Result<()> {
        match &*self.stopped.borrow() {
            Some(why) => Err(io::Error::other(why.clone())),
            None => Ok(()),
        }
    }
}

/// What comes out of a decompressor.
pub(super) struct Metered<'m, 'l> {
    inner: &'m mut dyn Read,
    meter: &'m Meter<'l>,
}

impl<'m, 'l> Metered<'m, 'l> {
    pub(super) fn new(inner: &'m mut dyn Read, meter: &'m Meter<'l>) -> Self {
        Self { inner, meter }
    }
}

impl Read for Metered<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.meter.check()?;
        let read = self.inner.read(buffer)?;
        self.meter.count_unpacked(read)?;
        Ok(read)
    }
}

/// The input itself: counts what is read, and remembers an error of its own apart from those of its content.
pub(super) struct Root<'m, 'l, R: ?Sized> {
    inner: &'m mut R,
    meter: &'m Meter<'l>,
}

impl<'m, 'l, R: ?Sized> Root<'m, 'l, R> {
    pub(super) fn new(inner: &'m mut R, meter: &'m Meter<'l>) -> Self {
        Self { inner, meter }
    }
}

impl<R: Read + ?Sized> Read for Root<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Ok(read) => {
                self.meter.consumed.set(self.meter.consumed.get().saturating_add(read as u64));
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let again = io::Error::new(error.kind(), error.to_string());
                self.meter.failed.borrow_mut().get_or_insert(error);
                Err(again)
            }
        }
    }
}

impl<R: Seek + ?Sized> Seek for Root<'_, '_, R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
