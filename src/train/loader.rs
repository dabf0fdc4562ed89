//! A data loader whose order depends on the seed and the epoch only.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::data::dataset::DatasetError;
use burn::tensor::Device;
use burn::train::Interrupter;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::progress::Job;

/// Makes the examples of an epoch, which counts from one.
type Source<I> = Arc<dyn Fn(usize) -> Arc<Vec<I>> + Send + Sync>;

/// A data loader for burn's learner that can begin at any epoch.
///
/// With a seed the examples are shuffled, then batched by similar length; without one they keep their order.
pub struct EpochLoader<I, B> {
    source: Source<I>,
    n_items: usize,
    length: fn(&I) -> usize,
    collate: fn(&[&I]) -> B,
    batch_size: usize,
    seed: Option<u64>,
    /// How many batches are joined into one, and how.
    together: (usize, fn(&mut B, B)),
    /// Examples of the epochs that came to their end, and the time these took.
    done: Arc<Mutex<(usize, Duration)>>,
    epoch: Arc<AtomicUsize>,
    job: Job,
    interrupter: Interrupter,
}

impl<I, B> Clone for EpochLoader<I, B> {
    fn clone(&self) -> Self {
        Self {
            source: self.source.clone(),
            done: self.done.clone(),
            epoch: self.epoch.clone(),
            job: self.job.clone(),
            interrupter: self.interrupter.clone(),
            ..*self
        }
    }
}

impl<I: Send + Sync + 'static, B> EpochLoader<I, B> {
    /// The same examples in every epoch.
    pub fn new(
        items: Vec<I>,
        batch_size: usize,
        length: fn(&I) -> usize,
        collate: fn(&[&I]) -> B,
    ) -> Self {
        let n_items = items.len();
        let items = Arc::new(items);
        Self::generated(
            Arc::new(move |_| items.clone()),
            n_items,
            batch_size,
            length,
            collate,
        )
    }

    /// Loads examples that are generated for each epoch, `n_items` of them.
    pub fn generated(
        source: Source<I>,
        n_items: usize,
        batch_size: usize,
        length: fn(&I) -> usize,
        collate: fn(&[&I]) -> B,
    ) -> Self {
        Self {
            source,
            n_items,
            length,
            collate,
            batch_size,
            seed: None,
            together: (1, |_, _| ()),
            done: Arc::default(),
            epoch: Arc::new(AtomicUsize::new(1)),
            job: Job::default(),
            interrupter: Interrupter::new(),
        }
    }

    /// Shuffles with this seed.
    pub fn shuffled(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Joins so many batches into one, each after the first through `join`; the last of an epoch may have fewer.
    pub fn together(mut self, batches: usize, join: fn(&mut B, B)) -> Self {
        self.together = (batches, join);
        self
    }

    /// Returns the examples per second of finished epochs, 0 if there are none; time between epochs does not count.
    pub fn rate(&self) -> f64 {
        let (examples, time) = match self.done.lock() {
            Ok(done) => *done,
            Err(poisoned) => *poisoned.into_inner(),
        };
        examples as f64 / time.max(Duration::from_nanos(1)).as_secs_f64()
    }

    /// How many optimizer steps an epoch has when gradients of `accumulate` batches are summed.
    pub fn steps_per_epoch(&self, accumulate: usize) -> usize {
        self.n_items.div_ceil(self.batch_size).div_ceil(accumulate)
    }

    /// Begins at an epoch, and stops when the job is asked to.
    pub(super) fn begin(&self, epoch: usize, job: &Job, interrupter: &Interrupter) -> Self {
        Self {
            epoch: Arc::new(AtomicUsize::new(epoch)),
            job: job.clone(),
            interrupter: interrupter.clone(),
            ..self.clone()
        }
    }

    /// The indices of each batch of an epoch.
    fn batches(&self, items: &[I], epoch: usize) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..items.len()).collect();
        let Some(seed) = self.seed else {
            return order
                .chunks(self.batch_size)
                .map(<[usize]>::to_vec)
                .collect();
        };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(epoch as u64);
        order.shuffle(&mut rng);
        // Within a window of some batches, neighbours in length share a batch: less padding, still random.
        const WINDOW: usize = 16;
        let mut batches = Vec::new();
        for window in order.chunks_mut(self.batch_size * WINDOW) {
            window.sort_by_key(|&item_idx| (self.length)(&items[item_idx]));
            batches.extend(window.chunks(self.batch_size).map(<[usize]>::to_vec));
        }
        batches.shuffle(&mut rng);
        batches
    }
}

struct Batches<I, B> {
    loader: EpochLoader<I, B>,
    items: Arc<Vec<I>>,
    batches: std::vec::IntoIter<Vec<usize>>,
    /// Until the end.
    start: Option<Instant>,
    done: usize,
}

impl<I, B> Batches<I, B> {
    fn next_batch(&mut self) -> Option<B> {
        let batch = self.batches.next()?;
        self.done += batch.len();
        let items: Vec<&I> = batch
            .iter()
            .map(|&item_idx| &self.items[item_idx])
            .collect();
        Some((self.loader.collate)(&items))
    }
}

impl<I, B> Iterator for Batches<I, B> {
    type Item = Result<B, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.loader.job.stopped() {
            self.loader.interrupter.stop(Some("asked to stop"));
            return None;
        }
        let Some(mut batch) = self.next_batch() else {
            if let (Some(start), Ok(mut done)) = (self.start.take(), self.loader.done.lock()) {
                done.0 += self.done;
                done.1 += start.elapsed();
            }
            return None;
        };
        let (together, join) = self.loader.together;
        for _ in 1..together {
            if let Some(next) = self.next_batch() {
                join(&mut batch, next);
            }
        }
        Some(Ok(batch))
    }
}

impl<I, B> DataLoaderIterator<B> for Batches<I, B> {
    fn progress(&self) -> Progress {
        Progress::new(self.done, self.loader.n_items, Some("examples".to_string()))
    }
}

impl<I: Clone + Send + Sync + 'static, B: 'static> DataLoader<B> for EpochLoader<I, B> {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<B> + 'a> {
        let epoch = self.epoch.fetch_add(1, Ordering::SeqCst);
        let items = (self.source)(epoch);
        let batches = self.batches(&items, epoch).into_iter();
        Box::new(Batches {
            loader: self.clone(),
            items,
            batches,
            start: Some(Instant::now()),
            done: 0,
        })
    }

    fn num_items(&self) -> usize {
        self.n_items
    }

    fn to_device(&self, _device: &Device) -> Arc<dyn DataLoader<B>> {
        Arc::new(self.clone()) // batches are plain ids; the step puts them on its device
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<B>> {
        let source = self.source.clone();
        let part: Source<I> = Arc::new(move |epoch| {
            let items = source(epoch);
            Arc::new(
                items
                    .iter()
                    .skip(start)
                    .take(end - start)
                    .cloned()
                    .collect(),
            )
        });
        Arc::new(Self {
            source: part,
            n_items: end - start,
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(loader: &EpochLoader<usize, Vec<usize>>, n: usize) -> Vec<Vec<Vec<usize>>> {
        (0..n)
            .map(|_| loader.iter().map(Result::unwrap).collect())
            .collect()
    }

    fn loader() -> EpochLoader<usize, Vec<usize>> {
        EpochLoader::new(
            (0..50).collect(),
            4,
            |item| item % 7,
            |items| items.iter().map(|item| **item).collect(),
        )
    }

    #[test]
    fn a_run_that_begins_later_sees_the_same_batches() {
        let (job, interrupter) = (Job::default(), Interrupter::new());
        let whole = epochs(&loader().shuffled(3).begin(1, &job, &interrupter), 4);
        let late = epochs(&loader().shuffled(3).begin(3, &job, &interrupter), 2);
        assert_eq!(whole[2..], late);
        assert_ne!(whole[0], whole[1]);
        let mut all = whole[0].concat();
        all.sort_unstable();
        assert_eq!(all, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn without_a_seed_examples_come_in_order_and_a_stopped_job_ends_them() {
        let (job, interrupter) = (Job::default(), Interrupter::new());
        let loader = loader().begin(1, &job, &interrupter);
        assert_eq!(epochs(&loader, 1)[0].concat(), (0..50).collect::<Vec<_>>());
        job.stop();
        assert!(loader.iter().next().is_none() && interrupter.should_stop());
    }
}
