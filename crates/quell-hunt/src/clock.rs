//! The times within one log of lines: a clock that goes back, and a silence that is unusual for that log.
//!
//! Both are looked for in samples, as to read the time of every line would cost more than the search. Only between two samples that are
//! far apart, or the wrong way round, each line is looked at.

use std::cmp::Reverse;

use jiff::{SignedDuration, Timestamp};

use crate::format::Format;
use crate::gap::{Gap, Strength};

/// Up to which byte of a log one line in how many bytes is looked at, and beyond: a time costs as much as a kilobyte of search.
const STEPS: [(u64, u64); 3] = [(32 << 10, 1 << 10), (256 << 10, 4 << 10), (u64::MAX, 128 << 10)];

/// Servers write a line when a request ends, some of them with the time at which it began: lines swap places by that much.
const JITTER: SignedDuration = SignedDuration::from_mins(10);

/// A shorter silence is none.
const SHORT: SignedDuration = SignedDuration::from_hours(1);

/// Fewer samples say nothing about what is usual.
const ENOUGH: usize = 20;

/// What is kept of one log; of samples every other one is dropped beyond.
const MAX_SAMPLES: usize = 1 << 14;
const MAX_JUMPS: usize = 1 << 10;

/// How much is looked at line by line, beside a part of the log so far: where times jump everywhere, as in logs of many machines put
/// together, that would be all of it.
const CLOSE: u64 = 4 << 20;
const CLOSE_PART: u64 = 128;

/// Silences that are told of one log, the longest ones.
const TOLD: usize = 10;

/// From one line with a time to the next one.
type Step = (Timestamp, Timestamp);

/// What was seen of a log so far.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// How much later than a sample the line behind it was written, or earlier.
    usual: Vec<SignedDuration>,
    /// Every how many samples one is kept, as a power of two, and how many there were.
    thinned: u32,
    samples: u64,
    /// Steps forwards that may be a silence, and steps back.
    silences: Vec<Step>,
    back: Vec<Step>,
    /// Jumps that are not kept.
    more: u64,
    /// Steps between samples that go forwards, and back.
    directions: (u64, u64),
    last: Option<Timestamp>,
    /// Where the next line is looked at.
    next: u64,
    /// Bytes of the log so far, and of those that were looked at line by line.
    seen: u64,
    close: u64,
}

impl Clock {
    /// Looks at some of the lines of a piece of a log, which begins at `offset` with a whole line.
    pub(crate) fn look(
        &mut self,
        format: Format,
        (text, offset): (&[u8], u64),
        time: &dyn Fn(&[u8]) -> Option<Timestamp>,
    ) {
        if !keeps_order(format) {
            return;
        }
        self.seen = offset + text.len() as u64;
        // Behind which line the last sample of this piece is.
        let (mut from, mut sampled) = (0, None);
        let mut at = 0;
        while let Some(line) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let length = memchr::memchr(b'\n', line).unwrap_or(line.len());
            let place = offset + at as u64;
            let mut beyond = at + length;
            if place >= self.next {
                if let Some(now) = time(line.get(..length).unwrap_or_default()) {
                    self.sample(now, text.get(from..at).unwrap_or_default(), time);
                    from = at;
                    let next =
                        line.get(length + 1..).and_then(|rest| rest.split(|byte| *byte == b'\n').next());
                    if let Some(next) = next.and_then(time) {
                        self.step(next.duration_since(now));
                    }
                }
                sampled = Some(at);
                let step = STEPS.iter().find(|(end, _)| place < *end).map_or(u64::MAX, |(_, step)| *step);
                self.next = place.saturating_add(step);
            }
            // To the first line that begins where the next look is, or behind it.
            let skip =
                usize::try_from(self.next.saturating_sub(offset)).unwrap_or(usize::MAX).saturating_sub(1);
            beyond = beyond.max(skip);
            let Some(rest) = text.get(beyond..) else { break };
            at = memchr::memchr(b'\n', rest).map_or(text.len(), |more| beyond + more + 1);
        }
        // The end of a piece is a sample, so that no two of them are in two pieces.
        let lines = text.strip_suffix(b"\n").unwrap_or(text);
        let start = memchr::memrchr(b'\n', lines).map_or(0, |newline| newline + 1);
        if !lines.is_empty()
            && sampled != Some(start)
            && let Some(now) = time(lines.get(start..).unwrap_or_default())
        {
            self.sample(now, text.get(from..start).unwrap_or_default(), time);
        }
    }

    /// One more time. `between` are the lines from the last sample to this one.
    fn sample(&mut self, now: Timestamp, between: &[u8], time: &dyn Fn(&[u8]) -> Option<Timestamp>) {
        let Some(before) = self.last.replace(now) else { return };
        let step = now.duration_since(before);
        if step.is_negative() {
            self.directions.1 += 1;
        } else if step.is_positive() {
            self.directions.0 += 1;
        }
        if step <= SHORT && step >= -JITTER {
            return;
        }
        if self.close > CLOSE + self.seen / CLOSE_PART {
            self.more += 1;
            return;
        }
        self.close += between.len() as u64;
        let mut last = before;
        let times = between.split(|byte| *byte == b'\n').filter_map(time).chain([now]);
        for at in times {
            let step = at.duration_since(last);
            let list = if step > SHORT {
                &mut self.silences
            } else if step < -JITTER {
                &mut self.back
            } else {
                last = at;
                continue;
            };
            if list.len() < MAX_JUMPS {
                list.push((last, at));
            } else {
                self.more += 1;
            }
            last = at;
        }
    }

    /// How much time passes from a sample to the line behind it.
    fn step(&mut self, step: SignedDuration) {
        self.samples += 1;
        if self.samples.trailing_zeros() < self.thinned {
            return;
        }
        self.usual.push(step.abs());
        if self.usual.len() > MAX_SAMPLES {
            self.thinned += 1;
            let mut keep = false;
            self.usual.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }

    /// What is wrong with them, for a log whose name whoever asks knows. In a log that is newest first, forwards is back.
    pub(crate) fn gaps(mut self) -> Vec<Gap> {
        if self.directions.1 > self.directions.0 {
            let turn = |steps: Vec<Step>| steps.into_iter().map(|(one, other)| (other, one)).collect();
            let (silences, back) = (std::mem::take(&mut self.silences), std::mem::take(&mut self.back));
            // A step is a silence from an hour on, and goes back from ten minutes on.
            self.silences = turn(back);
            self.silences.retain(|(from, to)| to.duration_since(*from) > SHORT);
            self.back = turn(silences);
        }
        let mut gaps: Vec<Gap> = self.gone_back().into_iter().collect();
        gaps.extend(self.silent());
        gaps
    }

    /// Where the clock goes back, as one gap: what was written then cannot be placed.
    fn gone_back(&self) -> Option<Gap> {
        let (first, _) = self.back.first()?;
        let (high, low) = self.back.iter().max_by_key(|(before, after)| before.duration_since(*after))?;
        let why = format!(
            "the clock goes back {} times in samples, first at {first} and at most by {} minutes: it was set, logs were put one behind \
             the other, or lines were written in later",
            self.back.len() as u64 + self.more,
            high.duration_since(*low).as_mins()
        );
        Some(Gap { stream: String::new(), from: *low, to: *high, strength: Strength::Suggestive, why })
    }

    /// Silences that are longer than is usual. One that comes again and again, as each night, is usual.
    fn silent(&mut self) -> Vec<Gap> {
        if self.usual.len() < ENOUGH {
            return Vec::new();
        }
        self.usual.sort_unstable();
        // Not the last of few: that may be the silence itself.
        let most = self.usual.get((self.usual.len() - 1) * 95 / 100).copied().unwrap_or_default();
        let length = |step: &Step| step.1.duration_since(step.0);
        self.silences.sort_by_key(|step| Reverse(length(step)));
        let third = self.silences.get(2).map(length).unwrap_or_default();
        let limit = SHORT.max(most.saturating_mul(6)).max(third.saturating_mul(2));
        let long = self.silences.iter().filter(|step| length(step) > limit).take(TOLD);
        let gap = |step: &Step| {
            let why = format!(
                "no line for {} minutes, where at most {} minutes pass from one line to the next in 95 of 100 samples",
                length(step).as_mins(),
                most.as_mins().max(1)
            );
            Gap { stream: String::new(), from: step.0, to: step.1, strength: Strength::Suggestive, why }
        };
        long.map(gap).collect()
    }
}

/// Whether the lines of a format come in the order of their times. S3 does not promise that, exports of the clouds and GitHub's
/// are sorted in many ways, and what Kubernetes writes of a watch has the time at which it began, an hour before.
fn keeps_order(format: Format) -> bool {
    match format {
        Format::Combined
        | Format::JsonLines
        | Format::Mariadb
        | Format::PostgresCsv
        | Format::PostgresJson
        | Format::Syslog
        | Format::Text
        | Format::Tradepulse
        | Format::Vault => true,
        Format::Azure
        | Format::Cloudtrail
        | Format::CloudtrailDigest
        | Format::Gcp
        | Format::Github
        | Format::Kubernetes
        | Format::MappedCsv
        | Format::MappedJson
        | Format::S3
        | Format::Vsync => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format;
    use crate::hint::Hints;

    fn at(minute: i64) -> Timestamp {
        let start: Timestamp = "2026-03-02T00:00:00Z".parse().unwrap();
        start.checked_add(SignedDuration::from_mins(minute)).unwrap()
    }

    fn written(minutes: impl IntoIterator<Item = i64>) -> Vec<String> {
        minutes.into_iter().map(|minute| format!("{} GET /{}\n", at(minute), "x".repeat(60))).collect()
    }

    /// The gaps of a log with lines at these minutes, read in pieces of so many lines; and how many times were read.
    fn looked(lines: &[String], piece: usize) -> (Vec<Gap>, u64) {
        let (mut clock, mut offset, reads) = (Clock::default(), 0, std::cell::Cell::new(0));
        let hints = Hints::default();
        for lines in lines.chunks(piece) {
            let text = lines.concat();
            clock.look(Format::Text, (text.as_bytes(), offset), &|line| {
                reads.set(reads.get() + 1);
                format::time_of(Format::Text, line, &hints)
            });
            offset += text.len() as u64;
        }
        (clock.gaps(), reads.get())
    }

    fn gaps(minutes: impl IntoIterator<Item = i64>, piece: usize) -> Vec<Gap> {
        looked(&written(minutes), piece).0
    }

    #[test]
    fn a_clock_that_goes_back_is_told_once_a_log_with_how_often() {
        let minutes = || (0..500).chain(200..600).chain(100..700);
        for piece in [1, 7, 1000, 5000] {
            let found = gaps(minutes(), piece);
            let [gap] = found.as_slice() else { panic!("{piece}: {found:?}") };
            assert_eq!((gap.from, gap.to), (at(100), at(599)), "{piece}");
            assert!(gap.why.contains("goes back 2 times"), "{}", gap.why);
        }
        // Requests that end out of order are no such clock, and neither is an export that is newest first.
        assert_eq!(gaps((0..2000).map(|n| n + if n % 7 == 0 { -9 } else { 0 }), 50), []);
        assert_eq!(gaps((0..2000).rev(), 50), []);
    }

    #[test]
    fn a_log_whose_times_jump_everywhere_is_not_read_line_by_line() {
        let lines = written((0..400_000).map(|n| n * 7919 % 20_160));
        let (found, reads) = looked(&lines, 5000);
        let bytes: usize = lines.iter().map(String::len).sum();
        assert!(bytes as u64 > 8 * CLOSE, "a log that is long enough");
        assert!(reads < lines.len() as u64 / 4, "{reads} times were read");
        assert!(found.iter().any(|gap| gap.why.contains("goes back")), "{found:?}");
    }

    #[test]
    fn an_unusual_silence_is_told_and_one_that_comes_each_night_is_not() {
        for piece in [7, 64, 5000] {
            let found = gaps((0..900).chain(1300..2200), piece);
            let [gap] = found.as_slice() else { panic!("{piece}: {found:?}") };
            assert_eq!((gap.from, gap.to, gap.strength), (at(899), at(1300), Strength::Suggestive));
            let back = gaps((0..900).chain(1300..2200).rev(), piece);
            assert_eq!(back.iter().map(|gap| (gap.from, gap.to)).collect::<Vec<_>>(), [(at(899), at(1300))]);
        }
        assert_eq!(gaps((0..10).flat_map(|day| (0..300).map(move |n| day * 1440 + n)), 64), []);
        assert_eq!(gaps((0..10).flat_map(|day| (0..300).map(move |n| day * 1440 + n)), 7), []);
        assert_eq!(gaps([0, 1, 2, 5000], 64), [], "too few to judge");
    }

    #[test]
    fn a_large_log_is_looked_at_in_samples_and_still_has_its_silence() {
        let minutes = (0..40_000).map(|n| n / 100).chain((0..40_000).map(|n| 2000 + n / 100));
        let lines = written(minutes);
        let (found, reads) = looked(&lines, 6000);
        let [gap] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((gap.from, gap.to), (at(399), at(2000)));
        assert!(reads < 2500, "{reads} times read of {} lines", lines.len());
    }

    #[test]
    fn lines_without_times_and_formats_without_order_say_nothing() {
        let text = "no time at all\n".repeat(5000);
        let mut clock = Clock::default();
        clock.look(Format::Text, (text.as_bytes(), 0), &|line| {
            format::time_of(Format::Text, line, &Hints::default())
        });
        assert_eq!(clock.gaps(), []);
        let mut clock = Clock::default();
        clock.look(Format::S3, (text.as_bytes(), 0), &|_| panic!("a time was read"));
        assert_eq!(clock.gaps(), []);
    }
}
