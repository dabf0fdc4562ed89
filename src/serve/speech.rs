//! The text of a reply as its tokens come, up to a text that ends it.

use crate::Result;
use crate::text::{Engine, ReplyStream, Spoken};

/// Turns tokens into text, leaves thoughts out, and ends before the first stop text.
#[derive(Debug)]
pub(super) struct Speech<'a> {
    stream: Option<ReplyStream<'a>>,
    spoken: Spoken<'a>,
    stops: &'a [String],
    /// What might be the beginning of a stop text.
    held: String,
    /// Whether text was told: before that, spaces are left out.
    has_begun: bool,
    is_stopped: bool,
}

impl<'a> Speech<'a> {
    pub(super) fn new(engine: &'a Engine, stops: &'a [String]) -> Self {
        Self {
            stream: Some(ReplyStream::new(engine.tokenizer())),
            spoken: engine.format().spoken(),
            stops,
            held: String::new(),
            has_begun: false,
            is_stopped: false,
        }
    }

    /// The same for a text that goes on behind a token as it is, spaces in front included.
    pub(super) fn behind_token(self, engine: &'a Engine, id: i32) -> Result<Self> {
        Ok(Self {
            has_begun: true,
            stream: Some(ReplyStream::behind_token(engine.tokenizer(), id)?),
            ..self
        })
    }

    /// Whether a stop text has come.
    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Adds a token and returns the text that is certain now, which may be empty; nothing if the token is no part of what is
    /// said.
    pub(super) fn push(&mut self, id: i32) -> Result<Option<String>> {
        if self.is_stopped || !self.spoken.is_said(id) {
            return Ok(None);
        }
        match &mut self.stream {
            Some(stream) => {
                let new = stream.push(id)?;
                Ok(Some(self.told(&new, false)))
            }
            None => Ok(None),
        }
    }

    /// Ends the reply and returns what was held back.
    pub(super) fn finish(&mut self) -> Result<String> {
        let rest = match self.stream.take() {
            Some(stream) if !self.is_stopped => stream.finish()?,
            _ => return Ok(String::new()),
        };
        Ok(self.told(&rest, true))
    }

    /// What of the text held back and of `new` may be told.
    fn told(&mut self, new: &str, is_end: bool) -> String {
        self.held.push_str(new);
        let found = self
            .stops
            .iter()
            .filter_map(|stop| self.held.find(stop.as_str()));
        let mut text = match found.min() {
            Some(place) => {
                self.is_stopped = true;
                let text = self.held[..place].to_string();
                self.held.clear();
                text
            }
            None => {
                let kept = if is_end { 0 } else { self.could_begin() };
                let rest = self.held.split_off(self.held.len() - kept);
                std::mem::replace(&mut self.held, rest)
            }
        };
        if !self.has_begun {
            text = text.trim_start().to_string();
            self.has_begun = !text.is_empty();
        }
        text
    }

    /// How many of the last bytes are the beginning of a stop text.
    fn could_begin(&self) -> usize {
        let held = self.held.as_str();
        let begins = |start: &usize| {
            self.stops
                .iter()
                .any(|stop| stop.starts_with(&held[*start..]))
        };
        let mut starts = held.char_indices().map(|(start, _)| start);
        starts.find(begins).map_or(0, |start| held.len() - start)
    }
}
