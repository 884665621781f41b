//! What the engine's events mean for a turn.

use parlant_engine::{Event, Kind, Status};
use uuid::Uuid;

use crate::TurnStatus;

/// Why a turn failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The engine reported an error of its own.
    EngineError,
    /// The engine was away for too long, or did not come to an end.
    Timeout,
    /// The engine gave the turn up.
    Cancelled,
    /// The engine does not take the message.
    Rejected,
    /// The session has ended, or its agent is archived.
    Gone,
}

impl Reason {
    pub(crate) const ALL: [Self; 5] = [Self::EngineError, Self::Timeout, Self::Cancelled, Self::Rejected, Self::Gone];

    /// The name that clients, the database and the metrics use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EngineError => "engine_error",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
            Self::Gone => "gone",
        }
    }
}

/// How far a twin was read during a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    /// The message that is answered.
    message_id: Uuid,
    /// The engine's name of the turn.
    trace_id: String,
    /// One that is no longer it.
    superseded: Option<String>,
    /// The first event that was not read.
    pub(super) next: i64,
    /// Whether the agent has answered.
    pub(super) answered: bool,
}

/// What the agent said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Utterance {
    pub(super) event_id: String,
    pub(super) text: String,
    pub(super) preamble: bool,
}

/// What happened since the last look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    pub(super) said: Vec<Utterance>,
    /// Each change of it.
    pub(super) statuses: Vec<TurnStatus>,
    pub(super) matched_guidelines: Vec<String>,
    /// The end of the turn, if it has ended, and why it failed, if it did.
    pub(super) end: Option<Result<(), Reason>>,
}

impl Reading {
    pub(super) fn new(message_id: Uuid, trace_id: String, next: i64, answered: bool) -> Self {
        Self { message_id, trace_id, superseded: None, next, answered }
    }

    /// Adds events to the news. What follows the message belongs to its turn, because one turn at a time is under
    /// way and a twin that is not done with one is given up.
    pub(super) fn read(&mut self, events: Vec<Event>, news: &mut News) {
        for event in events {
            if event.offset < self.next {
                continue;
            }
            self.next = event.offset + 1;
            match event.kind {
                // A replica that had stalled said it once more, and the engine has started over.
                Kind::CustomerMessage { message_id: Some(id) }
                    if id == self.message_id && !self.answered && event.trace_id != self.trace_id =>
                {
                    self.superseded = Some(std::mem::replace(&mut self.trace_id, event.trace_id));
                    news.end = None;
                }
                _ if self.superseded.as_ref() == Some(&event.trace_id) => {}
                Kind::AgentMessage { text, preamble } => {
                    // What PostgreSQL cannot store.
                    let text = text.replace('\0', "");
                    if !text.is_empty() {
                        self.answered |= !preamble;
                        news.said.push(Utterance { event_id: event.id, text, preamble });
                    }
                }
                Kind::Status(status) => news.note(status),
                Kind::CustomerMessage { .. } | Kind::Other => {}
            }
        }
    }

    /// Whether more is to be expected at once: the end, with the guidelines that were followed, right after an answer;
    /// an error right after an end without one.
    pub(super) fn is_inconclusive(&self, news: &News) -> bool {
        match news.end {
            None => news.said.iter().any(|said| !said.preamble),
            Some(end) => end.is_ok() && !self.answered,
        }
    }
}

impl News {
    fn note(&mut self, status: Status) {
        let shown = match status {
            Status::Acknowledged => TurnStatus::Acknowledged,
            Status::Processing { .. } => TurnStatus::Processing,
            Status::Typing => TurnStatus::Typing,
            Status::Completed { matched_guidelines } => {
                self.matched_guidelines = matched_guidelines;
                return self.end_as(Ok(()));
            }
            Status::Cancelled => return self.end_as(Err(Reason::Cancelled)),
            Status::Failed => return self.end_as(Err(Reason::EngineError)),
            Status::Ready | Status::Other => return,
        };
        if self.statuses.last() != Some(&shown) {
            self.statuses.push(shown);
        }
    }

    /// A turn that fails or is cancelled is completed too: the worst counts.
    fn end_as(&mut self, end: Result<(), Reason>) {
        let severity = |end| match end {
            Some(Err(Reason::EngineError)) => 3,
            Some(Err(_)) => 2,
            Some(Ok(())) => 1,
            None => 0,
        };
        if severity(Some(end)) > severity(self.end) {
            self.end = Some(end);
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    const OURS: Uuid = Uuid::from_u128(1);

    fn reading() -> Reading {
        Reading::new(OURS, "a".to_owned(), 1, false)
    }

    /// Events from offset 1 on, each with its turn.
    fn events(kinds: impl IntoIterator<Item = (&'static str, Kind)>) -> Vec<Event> {
        let event = |(place, (trace, kind)): (i64, (&str, Kind))| Event {
            id: format!("e{place}"),
            offset: place,
            trace_id: trace.to_owned(),
            kind,
        };
        (1..).zip(kinds).map(event).collect()
    }

    fn says(text: &str, preamble: bool) -> Kind {
        Kind::AgentMessage { text: text.to_owned(), preamble }
    }

    fn completed() -> Kind {
        Kind::Status(Status::Completed { matched_guidelines: vec!["g".to_owned()] })
    }

    fn read(reading: &mut Reading, kinds: impl IntoIterator<Item = (&'static str, Kind)>) -> News {
        let mut news = News::default();
        reading.read(events(kinds), &mut news);
        news
    }

    fn texts(news: &News) -> Vec<&str> {
        news.said.iter().map(|said| said.text.as_str()).collect()
    }

    #[test]
    fn a_turn_is_read_from_its_acknowledgement_to_its_end() {
        let processing = || Kind::Status(Status::Processing { stage: None });
        let mut reading = reading();
        let news = read(
            &mut reading,
            [
                ("a", Kind::Status(Status::Acknowledged)),
                ("a", Kind::Status(Status::Ready)),
                ("a", processing()),
                ("a", processing()),
                ("a", Kind::Other),
                ("a", Kind::Status(Status::Typing)),
                ("a", says("Hello", false)),
                ("a", completed()),
            ],
        );
        assert_eq!(texts(&news), ["Hello"]);
        assert_eq!(news.statuses, [TurnStatus::Acknowledged, TurnStatus::Processing, TurnStatus::Typing]);
        assert_eq!((news.end, news.matched_guidelines.concat().as_str()), (Some(Ok(())), "g"));
        assert_eq!((reading.next, reading.answered), (9, true));
        assert!(!reading.is_inconclusive(&news));
    }

    #[test]
    fn the_worst_end_counts_whatever_its_place() {
        let (failed, cancelled) = (Kind::Status(Status::Failed), Kind::Status(Status::Cancelled));
        for (kinds, end) in [
            (vec![completed(), failed.clone()], Reason::EngineError),
            (vec![failed.clone(), completed()], Reason::EngineError),
            (vec![cancelled.clone(), completed()], Reason::Cancelled),
            (vec![cancelled, failed], Reason::EngineError),
        ] {
            let news = read(&mut reading(), kinds.into_iter().map(|kind| ("a", kind)));
            assert_eq!(news.end, Some(Err(end)));
        }
    }

    #[test]
    fn an_answer_without_an_end_and_an_end_without_an_answer_call_for_another_look() {
        let mut once = reading();
        let news = read(&mut once, [("a", says("Well", true))]);
        assert!(!once.is_inconclusive(&news) && !once.answered, "a preamble is no answer");
        let news = read(&mut reading(), [("a", says("Hello", false))]);
        assert!(once.is_inconclusive(&news));
        let news = read(&mut once, [("a", completed())]);
        assert_eq!((news.end, once.is_inconclusive(&news)), (None, false), "these offsets were read before");
        let mut silent = reading();
        let news = read(&mut silent, [("a", completed())]);
        assert!(silent.is_inconclusive(&news));
    }

    #[test]
    fn a_message_that_was_said_twice_is_answered_once() {
        let again = || Kind::CustomerMessage { message_id: Some(OURS) };
        let start_over = [
            ("a", Kind::Status(Status::Acknowledged)),
            ("b", again()),
            ("a", Kind::Status(Status::Cancelled)),
            ("a", completed()),
            ("b", says("Hello", false)),
            ("b", completed()),
        ];
        let mut once = reading();
        let news = read(&mut once, start_over);
        assert_eq!((texts(&news), news.end), (vec!["Hello"], Some(Ok(()))));

        // Too late to make a difference.
        let news = read(&mut reading(), [("a", says("Hello", false)), ("b", again()), ("a", completed())]);
        assert_eq!((texts(&news), news.end), (vec!["Hello"], Some(Ok(()))));
    }

    #[test]
    fn an_engine_that_gives_every_message_the_same_trace_is_understood() {
        let turn = [("x", Kind::Status(Status::Acknowledged)), ("y", says("Hello", false)), ("y", completed())];
        let news = read(&mut reading(), turn);
        assert_eq!((texts(&news), news.end), (vec!["Hello"], Some(Ok(()))));
    }

    #[test]
    fn what_cannot_be_stored_is_left_out() {
        let news = read(&mut reading(), [("a", says("", false)), ("a", says("\0", false)), ("a", says("a\0b", false))]);
        assert_eq!(texts(&news), ["ab"]);
    }
}
