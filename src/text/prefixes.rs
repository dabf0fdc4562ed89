//! Texts that went through the model, so that one that begins alike need not go through it anew.

use std::collections::VecDeque;

use crate::nn::KvCache;

/// What the model made of the last texts.
#[derive(Debug)]
pub(super) struct Prefixes {
    /// The one that was used last is the last.
    kept: VecDeque<Kept>,
    /// The most tokens of all of them together.
    room: usize,
}

#[derive(Debug)]
struct Kept {
    ids: Vec<i32>,
    /// One row, with these tokens.
    cache: KvCache,
}

impl Kept {
    /// How many tokens of a prompt need not go through the model: the last one always does, as it tells what comes next.
    fn saves(&self, prompt: &[i32]) -> usize {
        let same = self
            .ids
            .iter()
            .zip(prompt)
            .take_while(|(a, b)| a == b)
            .count();
        let same = same.min(prompt.len() - 1);
        match self.cache.can_forget(self.ids.len() - same) {
            true => same,
            false => 0,
        }
    }
}

impl Prefixes {
    /// Fewer tokens are not worth a pass of their own.
    const LEAST: usize = 16;

    pub(super) fn new(room: usize) -> Self {
        Self {
            kept: VecDeque::new(),
            room,
        }
    }

    /// The text that saves a prompt the most.
    fn best(&self, prompt: &[i32]) -> Option<(usize, usize)> {
        let saves = self.kept.iter().map(|kept| kept.saves(prompt)).enumerate();
        let (place, saves) = saves.max_by_key(|(_, saves)| *saves)?;
        // One that saves little is left to a batch with others.
        let is_worth = saves >= Self::LEAST && 2 * saves >= prompt.len();
        is_worth.then_some((place, saves))
    }

    /// A cache with the beginning of a prompt.
    pub(super) fn take(&mut self, prompt: &[i32]) -> Option<KvCache> {
        let (place, saves) = self.best(prompt)?;
        let kept = self.kept.remove(place)?;
        let mut cache = kept.cache.clone();
        cache.forget(kept.ids.len() - saves);
        self.kept.push_back(kept);
        Some(cache)
    }

    /// Keeps a row of a cache in which these tokens are.
    pub(super) fn keep(&mut self, ids: Vec<i32>, cache: &KvCache, row: usize) {
        let is_worth = ids.len() >= Self::LEAST && ids.len() <= self.room;
        if !is_worth || self.kept.iter().any(|kept| kept.ids == ids) {
            return;
        }
        // What another text contains is not kept twice, unless a window keeps the longer from being cut.
        self.kept.retain(|kept| {
            !(ids.starts_with(&kept.ids) && {
                let longer = cache.row_len(row) - kept.ids.len();
                cache.can_forget(longer)
            })
        });
        let cache = cache.row(row);
        self.kept.push_back(Kept { ids, cache });
        while self.tokens() > self.room {
            self.kept.pop_front();
        }
    }

    /// The columns of each text in memory.
    #[cfg(test)]
    pub(super) fn columns(&self) -> Vec<usize> {
        let stored = self.kept.iter().map(|kept| kept.cache.stored_columns());
        stored.flatten().collect()
    }

    /// The tokens of all texts together.
    pub(super) fn tokens(&self) -> usize {
        self.kept.iter().map(|kept| kept.ids.len()).sum()
    }
}
