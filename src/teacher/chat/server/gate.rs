//! How many requests are under way at once: fewer after a timeout, more again after answers.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Lets requests through, at most so many at once as the server answers in time.
#[derive(Debug)]
pub(super) struct Gate {
    most: usize,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    allowed: usize,
    under_way: usize,
    /// Answers since `allowed` was changed.
    answers: usize,
}

/// A request under way; dropping it makes room for another.
#[derive(Debug)]
pub(super) struct Pass<'a>(&'a Gate);

impl Gate {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            state: Mutex::new(State {
                allowed: most,
                under_way: 0,
                answers: 0,
            }),
            freed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a request may go.
    pub(super) async fn pass(&self) -> Pass<'_> {
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.state();
                if state.under_way < state.allowed {
                    state.under_way += 1;
                    return Pass(self);
                }
            }
            freed.await;
        }
    }

    /// Halves how many go at once, as the server did not answer in time; returns how many are left if that changed.
    pub(super) fn narrow(&self) -> Option<usize> {
        let mut state = self.state();
        state.answers = 0;
        let half = (state.allowed / 2).max(1);
        let is_less = half < state.allowed;
        state.allowed = half;
        is_less.then_some(half)
    }

    /// Counts an answer; after as many as go at once, one more may go.
    pub(super) fn answered(&self) {
        let mut state = self.state();
        state.answers += 1;
        if state.answers >= state.allowed && state.allowed < self.most {
            state.allowed += 1;
            state.answers = 0;
            drop(state);
            self.freed.notify_waiters();
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.0.state().under_way -= 1;
        self.0.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_halve_what_goes_at_once_and_answers_bring_it_back() {
        let gate = Gate::new(4);
        assert_eq!(
            [gate.narrow(), gate.narrow(), gate.narrow()],
            [Some(2), Some(1), None]
        );
        for (answers, allowed) in [(1, 2), (2, 3), (3, 4), (9, 4)] {
            (0..answers).for_each(|_| gate.answered());
            assert_eq!(gate.state().allowed, allowed);
        }
    }
}
