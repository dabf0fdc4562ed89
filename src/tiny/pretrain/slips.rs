//! Puts wrong tokens into some replies. They are never targets; what follows them is.

use std::ops::Range;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::train::LanguageExample;

/// The share of replies that have slips.
const WITH_SLIPS: f64 = 0.5;
/// The share of their tokens at which there is one.
const SLIPS: f64 = 0.1;

/// Adds a reply to a segment, half the time with slips: tokens replaced by others, or others put in between, once or in
/// a row, which are no targets themselves.
///
/// A model that has seen right beginnings alone does not know how to go on behind a token that was sampled wrongly, and
/// goes round in a circle. `others` are the ids that a slip can have.
pub(super) fn extend_with_slips(
    example: &mut LanguageExample,
    segment: i32,
    reply: &[i32],
    weight: f32,
    others: &Range<i32>,
    rng: &mut ChaCha8Rng,
) {
    if !rng.random_bool(WITH_SLIPS) {
        example.extend(segment, reply, weight);
        return;
    }
    for (place, &id) in reply.iter().enumerate() {
        let is_last = place + 1 == reply.len();
        if !rng.random_bool(SLIPS) {
            example.extend(segment, &[id], weight);
            continue;
        }
        let before = if place == 0 { id } else { reply[place - 1] };
        let slip = match rng.random_range(0..3) {
            0 => before,
            1 => reply[rng.random_range(0..reply.len())],
            _ => rng.random_range(others.clone()),
        };
        if is_last || rng.random_bool(0.5) {
            let times = rng.random_range(1..=4);
            example.extend(segment, &vec![slip; times], 0.0);
            example.extend(segment, &[id], weight);
        } else {
            example.extend(segment, &[slip], 0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn slips_are_no_targets_and_all_else_is_as_it_was() {
        let reply: Vec<i32> = (300..320).chain([1]).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let (mut with_slips, mut replaced) = (0, 0);
        for _ in 0..200 {
            let mut example = LanguageExample::default();
            example.extend(1, &[2], 1.0);
            extend_with_slips(&mut example, 2, &reply, 4.0, &(400..500), &mut rng);
            let targets: Vec<i32> = example.targets().map(|(_, id, _)| id).collect();
            assert_eq!(targets.last(), Some(&1), "the end stays");
            let mut rest = reply.iter();
            assert!(
                targets.iter().all(|id| rest.any(|own| own == id)),
                "{targets:?}"
            );
            with_slips += usize::from(example.len() > reply.len() + 1 || targets != reply);
            replaced += reply.len() - targets.len();
        }
        assert!((60..120).contains(&with_slips), "{with_slips}");
        // Half of the replies, a tenth of their tokens, half of these.
        assert!((50..150).contains(&replaced), "{replaced}");
    }
}
