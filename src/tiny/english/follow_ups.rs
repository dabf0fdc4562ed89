//! A question as it is asked after another: `And your sister?`

/// Words with which a noun begins that can be asked about alone.
const DETERMINERS: [&str; 8] = ["your", "a", "an", "the", "any", "this", "that", "those"];

/// The second question, shortened to what differs from the first if the rest is the same: after `Where does your brother live?`
/// not `Where does your sister live?` but `And your sister?`
pub fn follow_up(before: &str, next: &str) -> String {
    let words = |text: &str| -> Vec<String> {
        let text = text.trim().trim_end_matches(['?', '!', '.']);
        text.split_whitespace().map(str::to_string).collect()
    };
    let (old, new) = (words(before), words(next));
    let same = |(one, other): &(&String, &String)| one.to_lowercase() == other.to_lowercase();
    let front = old.iter().zip(&new).take_while(same).count();
    let most = old.len().min(new.len()) - front;
    let pairs = old.iter().rev().zip(new.iter().rev());
    let back = pairs.take_while(same).count().min(most);
    let differs = front..new.len() - back;
    let is_determiner = |word: &String| DETERMINERS.contains(&word.to_lowercase().as_str());
    // What differs begins with its determiner, which may be the same in both: your favourite colour, your favourite food.
    let start = (front.saturating_sub(2)..=front).rev();
    let mut start = start.filter(|&start| new.get(start).is_some_and(is_determiner));
    match start.next() {
        Some(start) if front >= 2 && (1..=3).contains(&differs.len()) && start > 0 => {
            format!("And {}?", new[start..differs.end].join(" "))
        }
        _ => next.trim().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_shortened_only_where_the_rest_is_the_same() {
        for (before, next, wanted) in [
            (
                "Where does your brother live?",
                "Where does your sister live?",
                "And your sister?",
            ),
            (
                "What is your favourite colour?",
                "What is your favourite food?",
                "And your favourite food?",
            ),
            ("Do you have a cat?", "Do you have a dog?", "And a dog?"),
            ("Where do you live?", "What do you eat?", "What do you eat?"),
            ("Do you sing?", "Do you swim?", "Do you swim?"),
            ("Your name?", "Your age?", "Your age?"),
            ("Who are you?", "Who are you?", "Who are you?"),
            ("", "Who are you?", "Who are you?"),
            (
                "When did you move to Riga?",
                "When did you move to the old house by the sea?",
                "When did you move to the old house by the sea?",
            ),
        ] {
            assert_eq!(follow_up(before, next), wanted, "{before} {next}");
        }
    }
}
