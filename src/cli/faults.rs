//! What a panic becomes: an error in one line.

use std::panic::{AssertUnwindSafe, PanicHookInfo};
use std::sync::Mutex;

use crate::{Error, Result};

/// The first panic, in words.
static FAULT: Mutex<Option<String>> = Mutex::new(None);

/// Does some work; a panic in it is an error like any other.
///
/// # Errors
///
/// Those of the work, and a panic.
pub(super) fn caught(work: impl FnOnce() -> Result<()>) -> Result<()> {
    std::panic::set_hook(Box::new(remember));
    let done = std::panic::catch_unwind(AssertUnwindSafe(work));
    let fault = FAULT.lock().ok().and_then(|mut fault| fault.take());
    match (done, fault) {
        // What a thread of burn's learner died of, which the learner does not tell.
        (Ok(Err(Error::Training(told))), Some(fault)) => {
            Err(as_error(&format!("{told} ({fault})")))
        }
        (Ok(done), _) => done,
        (Err(_), fault) => Err(as_error(fault.as_deref().unwrap_or("a panic"))),
    }
}

/// Keeps what the first panic says; what follows from it says less.
fn remember(panic: &PanicHookInfo<'_>) {
    let mut fault = panic.payload_as_str().unwrap_or("a panic").to_string();
    if let Some(place) = panic.location() {
        // The crate with its version, and the file: `tokenizers-0.23.0/src/tokenizer.rs`.
        let parts: Vec<&str> = place.file().split(['/', '\\']).collect();
        let file = parts[parts.len().saturating_sub(3)..].join("/");
        fault = format!("{fault}, {file}:{}", place.line());
    }
    if let Ok(mut first) = FAULT.lock() {
        first.get_or_insert(fault);
    }
}

fn as_error(fault: &str) -> Error {
    // What the standard library, rayon and burn say where the system has no more threads.
    let signs = [
        "failed to spawn thread",
        "ThreadPoolBuildError",
        "kind: WouldBlock",
    ];
    if signs.iter().any(|sign| fault.contains(sign)) {
        return Error::Threads(fault.to_string());
    }
    Error::Fault(fault.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_as_an_error_with_its_place() {
        let hook = std::panic::take_hook();
        let fault = caught(|| panic!("index out of bounds")).unwrap_err();
        let threads = caught(|| panic!("failed to spawn thread: Os")).unwrap_err();
        let own = caught(|| Err(Error::Interrupted));
        std::panic::set_hook(hook);
        let told = fault.to_string();
        assert!(
            told.contains("index out of bounds, ") && told.contains("faults.rs:"),
            "{told}"
        );
        assert_eq!(fault.exit_code(), 1);
        assert!(threads.to_string().contains("ulimit -u"), "{threads}");
        assert!(matches!(own, Err(Error::Interrupted)));
    }
}
