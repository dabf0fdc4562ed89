//! Replies that have come apart.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// A right reply that says nothing any more: its words in disorder, one of them again and again, or its first words alone.
pub(super) fn spoiled(reply: &str, rng: &mut ChaCha8Rng) -> String {
    let mut words: Vec<&str> = reply.split_whitespace().collect();
    match rng.random_range(0..3) {
        0 if words.len() > 3 => words.shuffle(rng),
        // Less than half of it.
        1 if words.len() > 4 => words.truncate(rng.random_range(1..=3.min((words.len() - 1) / 2))),
        _ if words.is_empty() => {}
        _ => {
            let at = rng.random_range(0..words.len());
            words.truncate(at + 1);
            let word = words[at];
            words.extend(std::iter::repeat_n(word, rng.random_range(4..=12)));
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    /// The longest run of words that repeats itself, counted in rounds.
    fn rounds(text: &str) -> usize {
        let words: Vec<&str> = text.split_whitespace().collect();
        let longest = |period: usize| {
            let (mut same, mut best) = (0, 0);
            for idx in period..words.len() {
                same = if words[idx] == words[idx - period] {
                    same + 1
                } else {
                    0
                };
                best = best.max(same / period);
            }
            best + 1
        };
        (1..=4).map(longest).max().unwrap_or(0)
    }

    #[test]
    fn replies_of_any_length_can_be_garbled() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        for reply in [
            "",
            "No.",
            "Ja, natürlich!",
            "I play the trumpet in Dunmore.",
        ] {
            for _ in 0..100 {
                let text = spoiled(reply, &mut rng);
                let mut words = text.split_whitespace();
                assert!(words.all(|word| reply.contains(word)), "{text}");
            }
        }
    }

    #[test]
    fn a_spoiled_reply_is_another_in_its_own_words() {
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let reply = "I bake fresh bread in Dunmore every single morning.";
        for _ in 0..200 {
            let text = spoiled(reply, &mut rng);
            assert!(text.split(' ').all(|word| reply.contains(word)) && text != reply);
            let n_words = text.split(' ').count();
            assert!(n_words <= 4 || n_words == 9 || rounds(&text) > 4, "{text}");
        }
    }
}
