//! A model that is loaded once and answers many requests, one after the other.
//!
//! [`model`] loads it, [`queue`] holds what was asked, [`batches`] is the loop over pictures, which keeps going when
//! memory runs out; [`caption`], [`embed`], [`classify`], [`retrieve`] and [`tune`] are the requests.

mod batches;
mod caption;
mod classify;
mod embed;
mod error;
mod model;
mod queue;
mod retrieve;
mod tune;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use run::link::{FAILED_STATUS, FromRank};
use run::serve::{LOADING, Reply, Request, ServeJob};

use crate::link::Link;
use crate::train::words;
use error::ServeError;
use model::Served;
use queue::Queue;

/// Whether a request goes on after a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Onward {
    Go,
    Cancelled,
}

/// One request at work: reports, and hears of its cancellation.
struct Work<'a> {
    id: u64,
    link: &'a Link,
    queue: &'a mut Queue,
}

impl Work<'_> {
    fn say(&self, reply: Reply) {
        self.link.say(FromRank::Serve { id: self.id, reply });
    }

    /// Looks for a cancellation; cheap enough for every token.
    fn look(&mut self) -> Onward {
        for cancelled in self.queue.take_in(self.link, Some(self.id)) {
            self.link.say(FromRank::Serve { id: cancelled, reply: Reply::Cancelled });
        }
        if self.queue.cancelled(self.id) { Onward::Cancelled } else { Onward::Go }
    }
}

/// Loads the model and serves until the client's end of the line closes, which ends this process.
pub fn run(job: ServeJob, link: &Link) -> i32 {
    let start = Instant::now();
    let say = |reply| link.say(FromRank::Serve { id: LOADING, reply });
    let loaded = catch_unwind(|| Served::load(&job));
    let served = match loaded.unwrap_or_else(|panic| Err(ServeError::Panic(words(&*panic)))) {
        Ok(served) => served,
        Err(e) => {
            say(Reply::Failed { kind: e.kind().to_owned(), message: e.to_string() });
            return FAILED_STATUS;
        }
    };
    say(served.loaded(start.elapsed().as_secs_f64()));
    let mut queue = Queue::default();
    loop {
        let Some((id, request)) = queue.next(link) else { return 0 };
        let start = Instant::now();
        let mut work = Work { id, link, queue: &mut queue };
        // tch's operators panic where libtorch throws.
        let result = catch_unwind(AssertUnwindSafe(|| answer(&served, request, &mut work)));
        let last = match result.unwrap_or_else(|panic| Err(ServeError::Panic(words(&*panic)))) {
            Ok(Onward::Go) => Reply::Done { seconds: start.elapsed().as_secs_f64() },
            Ok(Onward::Cancelled) => Reply::Cancelled,
            Err(e) => Reply::Failed { kind: e.kind().to_owned(), message: e.to_string() },
        };
        link.say(FromRank::Serve { id, reply: last });
        queue.over(id);
    }
}

fn answer(served: &Served, request: Request, work: &mut Work) -> Result<Onward, ServeError> {
    match request {
        Request::Caption { images, decoding, batch, stream } => {
            caption::caption(served, images, &decoding, batch, stream, work)
        }
        Request::Embed { images, texts, out, batch } => {
            embed::embed(served, images, &texts, &out, batch, work)
        }
        Request::Classify { images, prompts, keep, batch } => {
            classify::classify(served, images, &prompts, keep, batch, work)
        }
        Request::Tune { images, classes, prompts, class, batch } => {
            let asked = tune::Asked { images, classes: &classes, prompts: &prompts, class };
            tune::tune(served, asked, batch, work)
        }
        Request::Retrieve { images, texts, image_of_text, batch } => {
            retrieve::retrieve(served, images, &texts, &image_of_text, batch, work)
        }
        // The queue keeps these to itself.
        Request::Cancel { .. } => Ok(Onward::Go),
    }
}
