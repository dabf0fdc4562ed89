//! What a template may build: a number of bytes that every new text and list draws on.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

/// Limit on the bytes that a template may allocate for strings and lists.
const BUILT_BYTES: usize = 256 << 20;
/// What a part of a text counts at least.
const LEAST_PART: usize = 32;
/// The largest count or width.
pub(super) const LARGEST_NUMBER: i64 = 1_000_000;

/// How many bytes may still be built.
pub(super) struct Budget(AtomicUsize);

impl Budget {
    /// As much as one template may build.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(BUILT_BYTES)))
    }

    /// An empty text that draws on it.
    pub(super) fn spelt(&self) -> Spelt<'_> {
        Spelt {
            text: String::new(),
            budget: self,
        }
    }

    pub(super) fn take(&self, bytes: usize) -> Result<(), Error> {
        let left = |left: usize| left.checked_sub(bytes);
        match self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, left)
        {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::new(
                ErrorKind::InvalidOperation,
                format!("builds more than {BUILT_BYTES} bytes of text"),
            )),
        }
    }

    /// Takes what a copy of a value has.
    pub(super) fn take_copy(&self, value: &Value) -> Result<(), Error> {
        /// Bytes of a value in a list.
        const VALUE: usize = 32;
        let bytes = match (value.as_str(), value.len()) {
            (Some(text), _) => text.len(),
            (None, len) => len.unwrap_or(1).saturating_mul(VALUE),
        };
        self.take(bytes)
    }

    /// Spells a value as Python does at the outermost level.
    pub(super) fn text(&self, value: &Value) -> Result<String, Error> {
        let mut spelt = self.spelt();
        let written = match value.kind() {
            ValueKind::None => write!(spelt, "None"),
            ValueKind::Bool if value.is_true() => write!(spelt, "True"),
            ValueKind::Bool => write!(spelt, "False"),
            _ => write!(spelt, "{value}"),
        };
        match written {
            Ok(()) => Ok(spelt.text),
            Err(_) => self.take(usize::MAX).map(|()| spelt.text),
        }
    }
}

/// A text that draws on the budget as it grows.
pub(super) struct Spelt<'a> {
    pub(super) text: String,
    budget: &'a Budget,
}

impl std::fmt::Write for Spelt<'_> {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        // Lists of lists are written in small parts, which take time as well.
        let bytes = part.len().max(LEAST_PART);
        self.budget.take(bytes).map_err(|_| std::fmt::Error)?;
        self.text.push_str(part);
        Ok(())
    }
}

impl std::io::Write for Spelt<'_> {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        let part = std::str::from_utf8(part).map_err(std::io::Error::other)?;
        let bytes = part.len().max(LEAST_PART);
        self.budget.take(bytes).map_err(std::io::Error::other)?;
        self.text.push_str(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
