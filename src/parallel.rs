//! Several batches at once on a CPU.
//!
//! Small models spend much of their time in element-wise operations, which the CPU backend runs on one thread. So a
//! batch is cut into one part for each core, and each part runs from end to end on a thread of its own, inside which
//! the backend's own parallelism is off: nothing waits, and the result does not depend on timing.

use std::sync::OnceLock;

use burn::tensor::{Device, DeviceType};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// One pool of a single thread for each core.
fn pools() -> &'static [ThreadPool] {
    static POOLS: OnceLock<Vec<ThreadPool>> = OnceLock::new();
    POOLS.get_or_init(|| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (0..cores)
            .map(|_| ThreadPoolBuilder::new().num_threads(1).build())
            .collect::<Result<_, _>>()
            .expect("the system can start as many threads as it has cores")
    })
}

/// How many parts work on `device` is best cut into: the number of cores on a CPU, one elsewhere.
pub fn workers(device: &Device) -> usize {
    if is_cpu(device) { pools().len() } else { 1 }
}

/// Whether tensors on `device` are in the machine's own memory.
pub fn is_cpu(device: &Device) -> bool {
    Device::enumerate(DeviceType::Flex)
        .to_vec()
        .contains(&device.clone().inner())
}

/// Applies `work` to every part, as many at once as there are cores; the results keep the order of the parts.
pub fn map<I: Send, O: Send>(parts: Vec<I>, work: impl Fn(I) -> O + Sync) -> Vec<O> {
    if parts.len() < 2 {
        return parts.into_iter().map(work).collect();
    }
    let mut results: Vec<Option<O>> = parts.iter().map(|_| None).collect();
    let queue = std::sync::Mutex::new(parts.into_iter().zip(results.iter_mut()));
    std::thread::scope(|scope| {
        for pool in pools() {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().map(|mut queue| queue.next());
                    let Ok(Some((part, result))) = next else {
                        break;
                    };
                    *result = Some(pool.install(|| work(part)));
                }
            });
        }
    });
    results
        .into_iter()
        .map(|result| result.expect("every part was worked on"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_parts() {
        assert_eq!(
            map((0..100).collect(), |part: u32| part * part),
            (0..100).map(|part| part * part).collect::<Vec<_>>()
        );
    }
}
