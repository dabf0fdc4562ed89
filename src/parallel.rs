//! Several batches at once, on the cores of a CPU or on several devices.
//!
//! Small models spend much of their time in element-wise operations, which the CPU backend runs on one thread. So a
//! batch is split into one part per core, and each part runs from start to end on its own thread with the backend's
//! parallelism off: threads never wait for each other, and the result does not depend on timing. With several devices,
//! each gets a part and has a copy of the model.

use std::panic::resume_unwind;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::module::Module;
use burn::tensor::{Device, StreamId};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder, Yield};

use crate::{Error, Result};

/// Devices of one kind that share the work; work that cannot be shared runs on the first.
#[derive(Clone, Debug)]
pub struct Devices(Vec<Device>);

impl From<Device> for Devices {
    fn from(device: Device) -> Self {
        Self(vec![device])
    }
}

impl Devices {
    /// Makes a group of devices, which must be of one kind.
    ///
    /// # Panics
    ///
    /// Panics if `devices` is empty.
    pub fn new(devices: Vec<Device>) -> Self {
        assert!(!devices.is_empty(), "work is done on at least one device");
        Self(devices)
    }

    /// The first device.
    pub fn first(&self) -> &Device {
        &self.0[0]
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Device> {
        self.0.iter()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The number of parts to split work into: one per core on a CPU, one per device elsewhere.
    pub fn workers(&self) -> usize {
        let each = if is_cpu(self.first()) {
            pools().len().max(1)
        } else {
            1
        };
        self.count() * each
    }

    /// Applies `work` to every part, one part per worker at a time; the results keep the order of the parts.
    pub fn map<I: Send, O: Send>(&self, parts: Vec<I>, work: impl Fn(I) -> O + Sync) -> Vec<O> {
        if is_cpu(self.first()) {
            map(parts, work)
        } else {
            on_threads(self.count(), parts, work)
        }
    }
}

/// A model on each of the devices that share the work.
#[derive(Clone, Debug)]
pub struct Replicas<M> {
    devices: Devices,
    models: Vec<M>,
}

impl<M: Module + Sync> Replicas<M> {
    /// Copies a model of the first device to the others.
    pub fn new(model: M, devices: &Devices) -> Self {
        let mut models = vec![model];
        for device in devices.iter().skip(1) {
            models.push(models[0].clone().to_device(device));
        }
        Self {
            devices: devices.clone(),
            models,
        }
    }

    /// Applies `change` to every model and moves the result to the model's device.
    pub fn each(&self, change: impl Fn(&M) -> M) -> Self {
        let models = self.models.iter().zip(self.devices.iter());
        Self {
            models: models
                .map(|(model, device)| change(model).to_device(device))
                .collect(),
            devices: self.devices.clone(),
        }
    }

    /// The model on the first device.
    pub fn first(&self) -> &M {
        &self.models[0]
    }

    /// All of them, in the order of the devices.
    pub fn iter(&self) -> std::slice::Iter<'_, M> {
        self.models.iter()
    }

    /// Their devices.
    pub fn devices(&self) -> &Devices {
        &self.devices
    }

    /// Applies `work` to every part with the model of one device; parts go to the devices in turn. See [`Devices::map`].
    pub fn map<I: Send, O: Send>(&self, parts: Vec<I>, work: impl Fn(&M, I) -> O + Sync) -> Vec<O> {
        let parts = self.models.iter().cycle().zip(parts).collect();
        self.devices.map(parts, |(model, part)| work(model, part))
    }
}

/// Single-threaded pools, one per core, or as many as the system starts threads for, which may be none.
static POOLS: OnceLock<Vec<ThreadPool>> = OnceLock::new();

/// Starts the threads that work on a CPU is done with, which otherwise start when they are first needed.
///
/// # Errors
///
/// A system that has no more threads.
pub fn start_threads() -> Result<()> {
    let failed = |error: ThreadPoolBuildError| Error::Threads(error.to_string());
    match ThreadPoolBuilder::new().build_global() {
        // Without a source it says that they are started already.
        Err(error) if std::error::Error::source(&error).is_some() => return Err(failed(error)),
        _ => {}
    }
    if POOLS.get().is_none() {
        // Another thread may have been quicker.
        let _ = POOLS.set(new_pools().collect::<Result<_, _>>().map_err(failed)?);
    }
    Ok(())
}

fn new_pools() -> impl Iterator<Item = Result<ThreadPool, ThreadPoolBuildError>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (0..cores).map(|_| ThreadPoolBuilder::new().num_threads(1).build())
}

fn pools() -> &'static [ThreadPool] {
    POOLS.get_or_init(|| new_pools().map_while(std::result::Result::ok).collect())
}

/// Whether tensors on `device` are in main memory.
pub fn is_cpu(device: &Device) -> bool {
    crate::kernels::is_cpu(device)
}

/// Runs `work`; on a CPU, keeps the backend's other threads spinning until it is done.
///
/// Waking a sleeping thread takes as long as one of the hundred matrix products of a decoding step.
pub fn awake<R: Send>(device: &Device, work: impl FnOnce() -> R + Send) -> R {
    if !is_cpu(device) {
        return work();
    }
    let done = &AtomicBool::new(false);
    rayon::scope(|scope| {
        let own = rayon::current_thread_index();
        for _ in 1..rayon::current_num_threads() {
            // A task that no thread has taken by the time the work is done runs on the thread that did the work.
            scope.spawn(move |_| {
                while rayon::current_thread_index() != own && !done.load(Ordering::Acquire) {
                    if rayon::yield_now() != Some(Yield::Executed) {
                        std::hint::spin_loop();
                    }
                }
            });
        }
        // Stop them on a panic as well: the scope waits for them.
        let _done = Done(done);
        work()
    })
}

struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Applies `work` to every part, one part per core at a time; the results keep the order of the parts.
pub fn map<I: Send, O: Send>(parts: Vec<I>, work: impl Fn(I) -> O + Sync) -> Vec<O> {
    if parts.len() < 2 {
        return parts.into_iter().map(work).collect();
    }
    let mut results: Vec<Option<O>> = parts.iter().map(|_| None).collect();
    let queue = std::sync::Mutex::new(parts.into_iter().zip(results.iter_mut()));
    let next = || queue.lock().map_or(None, |mut queue| queue.next());
    std::thread::scope(|scope| {
        let (next, work) = (&next, &work);
        let threads: Vec<_> = pools()
            .iter()
            .map_while(|pool| {
                let run = move || {
                    while let Some((part, result)) = next() {
                        *result = Some(pool.install(|| work(part)));
                    }
                };
                std::thread::Builder::new().spawn_scoped(scope, run).ok()
            })
            .collect();
        if threads.is_empty() {
            // The system starts no thread: the caller does it all.
            while let Some((part, result)) = next() {
                *result = Some(work(part));
            }
        }
        for thread in threads {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
    });
    results
        .into_iter()
        .map(|result| result.expect("every part was worked on"))
        .collect()
}

/// Applies `work` to every item, `concurrency` at a time; the results keep the order of the items.
pub(crate) fn at_once<I: Sync, O: Send>(
    items: &[I],
    concurrency: usize,
    work: impl Fn(&I) -> Result<O> + Send + Sync,
) -> Result<Vec<O>> {
    if concurrency < 2 {
        return items.iter().map(work).collect();
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(concurrency)
        .build()
        .map_err(|error| {
            let told = format!("cannot start {concurrency} threads: {error}; lower `concurrency`");
            Error::Teacher(told)
        })?;
    pool.install(|| items.par_iter().with_max_len(1).map(work).collect())
}

/// Applies `work` to every part on several threads, part `i` on thread `i % threads`; the results keep the order of the parts.
///
/// Devices keep a memory pool per stream and by default a stream per thread: here all threads use the caller's stream.
fn on_threads<I: Send, O: Send>(
    n_threads: usize,
    parts: Vec<I>,
    work: impl Fn(I) -> O + Sync,
) -> Vec<O> {
    if n_threads < 2 || parts.len() < 2 {
        return parts.into_iter().map(work).collect();
    }
    let mut shares: Vec<Vec<I>> = (0..n_threads).map(|_| Vec::new()).collect();
    for (part_idx, part) in parts.into_iter().enumerate() {
        shares[part_idx % n_threads].push(part);
    }
    let (work, stream) = (&work, StreamId::current());
    let mut results: Vec<std::vec::IntoIter<O>> = std::thread::scope(|scope| {
        let of = |share: Vec<I>| move || share.into_iter().map(work).collect::<Vec<O>>();
        let threads: Vec<_> = shares
            .into_iter()
            .map(|share| scope.spawn(move || stream.executes(of(share))))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .map(Vec::into_iter)
            .collect()
    });
    (0..n_threads)
        .cycle()
        .map_while(|thread_idx| results[thread_idx].next())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_parts() {
        let squares: Vec<u32> = (0..100).map(|part| part * part).collect();
        assert_eq!(map((0..100).collect(), |part: u32| part * part), squares);
        for n_threads in [1, 2, 3, 200] {
            let on_threads = on_threads(n_threads, (0..100).collect(), |part: u32| part * part);
            assert_eq!(on_threads, squares, "{n_threads} threads");
        }
    }

    #[cfg(feature = "flex")]
    #[test]
    fn threads_that_are_awake_take_their_share_and_end_with_the_work() {
        use rayon::prelude::*;
        let cpu = Device::flex();
        let sums = |work: u64| -> u64 { (0..work).into_par_iter().map(|part| part * 2).sum() };
        for work in 0..200 {
            let sum = awake(&cpu, || awake(&cpu, || sums(work)));
            assert_eq!(sum, work * work.saturating_sub(1));
        }
        let failed = std::panic::catch_unwind(|| awake(&cpu, || panic!("no work")));
        assert!(failed.is_err(), "a panic comes through");
    }

    #[test]
    fn threads_go_on_with_the_stream_of_their_caller() {
        let streams = on_threads(3, vec![(); 3], |()| StreamId::current());
        assert_eq!(streams, [StreamId::current(); 3]);
    }
}
