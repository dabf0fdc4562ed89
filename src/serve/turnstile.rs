//! One at a time, and some before others.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// How many that are urgent go before one that is not and waits longer.
const IN_A_ROW: usize = 4;

/// Lets one pass at a time: first those who are urgent, without keeping the others for ever.
#[derive(Debug, Default)]
pub(super) struct Turnstile {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    is_taken: bool,
    urgent: VecDeque<oneshot::Sender<Pass>>,
    others: VecDeque<oneshot::Sender<Pass>>,
    /// Urgent ones that went before others since one of these went.
    in_a_row: usize,
}

impl Waiting {
    fn next(&mut self) -> Option<oneshot::Sender<Pass>> {
        // Who is gone does not count.
        for line in [&mut self.urgent, &mut self.others] {
            while line.front().is_some_and(oneshot::Sender::is_closed) {
                line.pop_front();
            }
        }
        let others_wait = !self.others.is_empty();
        if others_wait && (self.in_a_row >= IN_A_ROW || self.urgent.is_empty()) {
            self.in_a_row = 0;
            return self.others.pop_front();
        }
        self.in_a_row += usize::from(others_wait);
        self.urgent.pop_front()
    }
}

/// The right to pass, until it is dropped.
#[derive(Debug)]
pub(super) struct Pass(Option<Arc<Turnstile>>);

impl Turnstile {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn.
    pub(super) async fn pass(self: &Arc<Self>, is_urgent: bool) -> Pass {
        let turn = {
            let mut waiting = self.waiting();
            if !waiting.is_taken {
                waiting.is_taken = true;
                return Pass(Some(self.clone()));
            }
            let (sender, turn) = oneshot::channel();
            match is_urgent {
                true => waiting.urgent.push_back(sender),
                false => waiting.others.push_back(sender),
            }
            turn
        };
        // A turn is given while there is a turnstile, and this holds it.
        turn.await.unwrap_or(Pass(None))
    }

    /// Gives the turn to the next one who still waits.
    fn go_on(self: &Arc<Self>) {
        loop {
            let next = {
                let mut waiting = self.waiting();
                let next = waiting.next();
                waiting.is_taken = next.is_some();
                next
            };
            let Some(next) = next else { return };
            // Who is gone gives the turn back at once, but must not pass it on from within this.
            match next.send(Pass(Some(self.clone()))) {
                Ok(()) => return,
                Err(mut back) => drop(back.0.take()),
            }
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(turnstile) = self.0.take() {
            turnstile.go_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_passes_at_a_time_and_the_urgent_ones_first_but_not_for_ever() {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(async {
            let turnstile = Arc::new(Turnstile::default());
            let held = turnstile.pass(false).await;
            let order = Arc::new(Mutex::new(Vec::new()));
            let mut tasks = Vec::new();
            for number in 0..10 {
                let (turnstile, order) = (turnstile.clone(), order.clone());
                tasks.push(tokio::spawn(async move {
                    let _pass = turnstile.pass(number >= 3).await;
                    order.lock().unwrap().push(number);
                    tokio::task::yield_now().await;
                }));
                tokio::task::yield_now().await;
            }
            // Who no longer waits is passed over.
            tasks.remove(3).abort();
            tokio::task::yield_now().await;
            drop(held);
            for task in tasks {
                task.await.unwrap();
            }
            assert_eq!(*order.lock().unwrap(), [4, 5, 6, 7, 0, 8, 9, 1, 2]);
            let _free = turnstile.pass(true).await;
        });
    }
}
