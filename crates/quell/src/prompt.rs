//! Asks for what must not be seen, and leaves the terminal as it was, also when somebody presses Ctrl-C.
//!
//! The library for hidden input switches the echo off and, at Ctrl-C, raises the signal before it switches it on again: the process dies
//! and the shell echoes nothing any more. Here the terminal is set and put back by a guard of ours, and the library only reads.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result, Write as _};

use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};

/// What Ctrl-C sends while the terminal makes no signals of it.
const CTRL_C: u8 = 3;

/// Asks at the terminal. Ctrl-C is an error of the kind `Interrupted`.
pub(crate) fn hidden(question: &str) -> Result<String> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    let quiet = Quiet::of(terminal.try_clone()?)?;
    terminal.write_all(question.as_bytes())?;
    let keys = Keys { terminal: terminal.try_clone()? };
    let config = rpassword::ConfigBuilder::new().input_reader(keys).output_discard().build();
    let typed = rpassword::read_password_with_config(config);
    drop(quiet);
    // The line break that was typed was not shown.
    terminal.write_all(b"\n")?;
    typed
}

/// A terminal that shows nothing, until it is dropped.
struct Quiet {
    terminal: File,
    before: Termios,
}

impl Quiet {
    fn of(terminal: File) -> Result<Self> {
        let before = termios::tcgetattr(&terminal)?;
        let mut quiet = before.clone();
        // Signals are off, so that Ctrl-C is read here and not the death of the process.
        quiet
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        termios::tcsetattr(&terminal, OptionalActions::Now, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // If the terminal is gone there is nothing to put back.
        let _gone = termios::tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

/// Keys as they are pressed.
struct Keys {
    terminal: File,
}

impl Read for Keys {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let Some(place) = buffer.get_mut(..1) else { return Ok(0) };
        let count = loop {
            match self.terminal.read(place) {
                // A signal of another kind; the reader above takes this error for Ctrl-C.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        if count == 1 && place.first() == Some(&CTRL_C) {
            return Err(Error::new(ErrorKind::Interrupted, "stopped; nothing was done"));
        }
        Ok(count)
    }
}
