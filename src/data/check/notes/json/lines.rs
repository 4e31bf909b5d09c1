//! The form of one object a line, as its reader takes it: each line that is not empty is an entry, and what is wrong with
//! one concerns no other.

use super::{End, Kind, MAX_BAD_LINES, Problem, Walk, given_up};
use crate::json::Fault;
use crate::json::entry::Entry;

impl Walk<'_> {
    /// Takes line after line until an entry begins at or behind `stop`.
    pub(super) fn each_line(&mut self, stop: usize) -> End {
        loop {
            let Some(first) = self.scanner.peek() else { return End::Over };
            let at = self.scanner.at;
            if at >= stop {
                return End::At(at);
            }
            let (number, captions) = (self.out.entries.len(), self.out.captions.len());
            let fault = if first == b'{' {
                self.entry().and_then(|()| self.end_of_line()).err()
            } else {
                self.scanner.wrong::<()>("an entry, '{'").err()
            };
            let Some(fault) = fault else {
                self.over_lines(at, number);
                continue;
            };
            let rest = self.scanner.bytes().get(at..).unwrap_or_default();
            let end = memchr::memchr(b'\n', rest).map_or(at + rest.len(), |end| at + end);
            let fault = if fault.at > end {
                Fault::new(end, "the line ends within the entry: it may be cut off")
            } else {
                fault
            };
            // Its reader passes over the whole line.
            self.out.entries.truncate(number);
            self.out.captions.truncate(captions);
            self.problem(Kind::BadJson, fault.at, fault.problem);
            self.out.entries.push(Entry::blank(at, captions));
            self.out.errors += 1;
            if self.out.errors >= MAX_BAD_LINES {
                self.problem(Kind::BadJson, fault.at, given_up(self.out.errors));
                return End::Over;
            }
            if let Some(tolerated) = &mut self.scanner.tolerated {
                *tolerated = Default::default();
            }
            self.scanner.jump(end);
        }
    }

    /// Behind an entry its line ends.
    fn end_of_line(&mut self) -> Result<(), Fault> {
        let rest = self.scanner.bytes().get(self.scanner.at..).unwrap_or_default();
        let more = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r'));
        match more.filter(|at| rest.get(*at) != Some(&b'\n')) {
            None => Ok(()),
            Some(more) => {
                let problem = "more text behind the entry: each stands on a line of its own";
                Err(Fault::new(self.scanner.at + more, problem))
            }
        }
    }

    /// An entry that goes over several lines can be understood here, and not by those who read line by line.
    fn over_lines(&mut self, at: usize, entry: usize) {
        let own = self.scanner.bytes().get(at..self.scanner.at).unwrap_or_default();
        if let Some(end) = memchr::memchr(b'\n', own) {
            let message = "the entry goes over several lines: write each on one line";
            let problem = Problem { kind: Kind::BadJson, at: at + end, entry, message: message.into() };
            self.out.problems.push(problem);
        }
    }
}
