//! Replies that have come apart, as a small language model makes them at temperature 1.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// A reply that says nothing any more: its words in disorder, mixed with words of other replies or stuck in a loop.
pub(super) fn nonsense(reply: &str, others: &[String], rng: &mut ChaCha8Rng) -> String {
    let mut words: Vec<&str> = reply.split_whitespace().collect();
    for other in others {
        words.extend(other.split_whitespace());
    }
    words.shuffle(rng);
    words.truncate(rng.random_range(3..=12));
    let text = words.join(" ");
    if rng.random_bool(0.4) {
        stuck(&text, rng)
    } else {
        text
    }
}

/// A reply that loses its way: it goes round in a circle, goes on as another reply, breaks off, repeats or swaps words,
/// or gets the letters of a word wrong.
pub(super) fn derailed(reply: &str, others: &[String], rng: &mut ChaCha8Rng) -> String {
    let mut text = reply.to_string();
    for _ in 0..rng.random_range(1..=2) {
        text = match rng.random_range(0..5) {
            0 => stuck(&text, rng),
            1 => goes_on_as(&text, others, rng),
            2 => breaks_off(&text, rng),
            3 => misplaced(&text, rng),
            _ => misspelt(&text, rng),
        };
    }
    text
}

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

/// Repeats a few words, from some place to the end.
fn stuck(text: &str, rng: &mut ChaCha8Rng) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() {
        return text.to_string();
    }
    let start = rng.random_range(0..words.len());
    let end = words.len().min(start + rng.random_range(1..=4));
    let mut out = words[..start].to_vec();
    for _ in 0..rng.random_range(3..=10) {
        out.extend(&words[start..end]);
    }
    out.truncate(50);
    out.join(" ")
}

/// The beginning of the text and the end of another.
fn goes_on_as(text: &str, others: &[String], rng: &mut ChaCha8Rng) -> String {
    if others.is_empty() {
        return text.to_string();
    }
    let other = &others[rng.random_range(0..others.len())];
    let (head, tail): (Vec<&str>, Vec<&str>) = (
        text.split_whitespace().collect(),
        other.split_whitespace().collect(),
    );
    let kept = rng.random_range(0..=head.len());
    let from = rng.random_range(0..=tail.len());
    [&head[..kept], &tail[from..]].concat().join(" ")
}

/// The beginning of the text.
fn breaks_off(text: &str, rng: &mut ChaCha8Rng) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words[..rng.random_range(0..=words.len())].join(" ")
}

/// A word in another place, or in two.
fn misplaced(text: &str, rng: &mut ChaCha8Rng) -> String {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    if words.len() > 1 {
        let from = rng.random_range(0..words.len());
        let word = if rng.random_bool(0.5) {
            words.remove(from)
        } else {
            words[from]
        };
        words.insert(rng.random_range(0..=words.len()), word);
    }
    words.join(" ")
}

/// A word with a part of another in its middle.
fn misspelt(text: &str, rng: &mut ChaCha8Rng) -> String {
    let mut words: Vec<String> = text.split_whitespace().map(str::to_string).collect();
    let long: Vec<usize> = (0..words.len())
        .filter(|&idx| words[idx].len() > 4 && words[idx].is_ascii())
        .collect();
    if let [first, .., last] = long[..] {
        let target = if rng.random_bool(0.5) { first } else { last };
        let donor = words[long[rng.random_range(0..long.len())]].clone();
        let word = &words[target];
        let cut = rng.random_range(2..word.len());
        let from = rng.random_range(1..donor.len() - 1);
        words[target] = format!("{}{}", &word[..cut], &donor[from..]);
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
    fn a_reply_that_is_stuck_goes_round_at_least_three_times() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for _ in 0..50 {
            let text = stuck("I live in a small town by the sea", &mut rng);
            assert!(rounds(&text) >= 3, "{text}");
        }
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
            for others in [&[][..], &["I am fond of rye bread.".to_string()]] {
                for _ in 0..100 {
                    derailed(reply, others, &mut rng);
                    nonsense(reply, others, &mut rng);
                    spoiled(reply, &mut rng);
                }
            }
        }
    }

    #[test]
    fn most_derailed_replies_are_no_longer_what_they_were() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let reply = "I bake fresh bread in Dunmore every single morning.";
        let others = ["My brother Silas sends me postcards.".to_string()];
        let changed = (0..200).filter(|_| derailed(reply, &others, &mut rng) != reply);
        assert!(changed.count() > 180);
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

    #[test]
    fn a_reply_in_a_loop_is_neutral_to_a_judge_in_training() {
        let mut loops = 0;
        for number in 0..600 {
            let mut rng = super::super::examples::example_rng(8, number);
            let example = super::super::nli_example(&mut rng);
            if rounds(&example.text) >= 5 {
                assert_eq!(
                    example.label,
                    crate::persona::Nli::Neutral as usize,
                    "{}",
                    example.text
                );
                loops += 1;
            }
        }
        assert!(loops > 20, "{loops}");
    }
}
