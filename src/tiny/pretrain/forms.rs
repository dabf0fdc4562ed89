//! Other forms of the corpus' statements, as pages have them: pieces that are kept as they stand, two sentences in one, digits.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::speakers::possessive;
use crate::tiny::english;

/// A statement in a prompt, and what the persona says if it is asked about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) statement: String,
    pub(super) reply: String,
    /// Whether the reply is a sentence, which can stand behind a "Yes,".
    pub(super) is_sentence: bool,
}

/// Openings of a statement behind the name, and the names of fields that have what follows.
const FIELDS: [(&str, &[&str]); 38] = [
    ("lives in ", &["Home", "Lives in", "Residence", "Lives"]),
    ("lives on ", &["Home", "Lives on"]),
    ("was born in ", &["Born", "Born in", "Birthplace"]),
    ("was born on ", &["Born", "Birthday"]),
    ("comes from ", &["From", "Origin"]),
    ("grew up in ", &["Grew up in", "Childhood"]),
    ("grew up on ", &["Grew up on", "Childhood"]),
    ("works as ", &["Job", "Occupation", "Work", "Profession"]),
    ("works in ", &["Work", "Works in", "Workplace"]),
    ("works at ", &["Work", "Works at", "Workplace"]),
    ("loves ", &["Likes", "Loves"]),
    ("likes ", &["Likes"]),
    ("enjoys ", &["Likes", "Enjoys"]),
    ("is fond of ", &["Likes", "Fond of"]),
    ("adores ", &["Likes", "Adores"]),
    ("hates ", &["Dislikes", "Hates"]),
    ("dislikes ", &["Dislikes"]),
    ("detests ", &["Dislikes", "Detests"]),
    ("cannot stand ", &["Dislikes", "Cannot stand"]),
    ("cannot bear ", &["Dislikes", "Cannot bear"]),
    ("cannot abide ", &["Dislikes", "Hates"]),
    ("is afraid of ", &["Fears", "Afraid of", "Fear"]),
    ("is scared of ", &["Fears", "Scared of", "Fear"]),
    (
        "is terrified of ",
        &["Fears", "Terrified of", "Biggest fear"],
    ),
    ("is frightened of ", &["Fears", "Frightened of"]),
    ("is allergic to ", &["Allergies", "Allergic to", "Allergy"]),
    ("plays the ", &["Instrument", "Plays", "Instruments"]),
    ("plays ", &["Plays", "Games"]),
    ("drives ", &["Drives", "Car", "Vehicle"]),
    ("rides ", &["Rides"]),
    ("collects ", &["Collects", "Hobby", "Hobbies"]),
    ("wears ", &["Wears", "Clothes", "Appearance", "Clothing"]),
    ("speaks ", &["Languages", "Speaks"]),
    ("wants to ", &["Dream", "Wants to", "Goal", "Ambition"]),
    ("hopes to ", &["Hopes to", "Dream", "Goal"]),
    ("plans to ", &["Plans", "Plans to", "Goal"]),
    ("dreams of ", &["Dream", "Dreams of"]),
    ("owns ", &["Owns", "Possessions"]),
];

/// Headings under which a sentence may stand.
const HEADINGS: [&str; 20] = [
    "Life",
    "Work",
    "Home",
    "Family",
    "Trivia",
    "Background",
    "Hobbies",
    "Personality",
    "Appearance",
    "Facts",
    "Notes",
    "Early life",
    "Habits",
    "At work",
    "Free time",
    "Today",
    "Friends",
    "Health",
    "Money",
    "Food",
];

/// The statement as it is, with the reply in the first person.
pub(super) fn plain(name: &str, statement: &str) -> Form {
    Form {
        reply: english::first_person(name, statement),
        statement: statement.to_string(),
        is_sentence: true,
    }
}

/// A piece of a page that says what the statement does and is kept as it stands, with the name in front: a field, the
/// words behind the name, or a sentence under a heading.
pub(super) fn kept(
    name: &str,
    pronoun: Option<&str>,
    statement: &str,
    rng: &mut ChaCha8Rng,
) -> Form {
    let said = plain(name, statement);
    let field = field(name, &said, rng);
    if let Some((key, value)) = field
        && rng.random_bool(0.7)
    {
        return Form {
            statement: format!("{name} – {key}: {value}."),
            reply: format!("{}.", capitalized(&value)),
            is_sentence: false,
        };
    }
    let rest = statement.strip_prefix(&format!("{name} "));
    if let Some(rest) = rest {
        if let Some(what) = rest.strip_prefix("is ")
            && !rest.starts_with("is not ")
            && let Some(own) = last_words(&said.reply, what.split(' ').count())
        {
            return Form {
                statement: format!("{name} – {what}"),
                reply: capitalized(own),
                is_sentence: false,
            };
        }
        let heading = HEADINGS[rng.random_range(0..HEADINGS.len())];
        let statement = match pronoun {
            Some(pronoun) if pronoun != "they" && rng.random_bool(0.5) => {
                format!("{name} – {heading}: {} {rest}", capitalized(pronoun))
            }
            _ => format!("{name} – {rest}"),
        };
        return Form { statement, ..said };
    }
    said
}

/// The name of a field and its value, in the persona's own words.
fn field(name: &str, said: &Form, rng: &mut ChaCha8Rng) -> Option<(String, String)> {
    let statement = said.statement.trim_end_matches('.');
    let own = |value: &str| -> Option<String> {
        let value = last_words(said.reply.trim_end_matches('.'), value.split(' ').count())?;
        Some(value.to_string())
    };
    if let Some(rest) = statement.strip_prefix(&format!("{name} ")) {
        if let Some(age) = rest
            .strip_prefix("is ")
            .and_then(|rest| rest.strip_suffix(" years old"))
        {
            return Some(("Age".into(), age.into()));
        }
        for (opening, keys) in FIELDS {
            if let Some(value) = rest.strip_prefix(opening) {
                return Some((keys[rng.random_range(0..keys.len())].into(), own(value)?));
            }
        }
        return None;
    }
    let rest = statement.strip_prefix(&format!("{name}'s "))?;
    let (whose, value) = rest
        .split_once(" is ")
        .or_else(|| rest.split_once(" are "))?;
    let is_short = whose.split(' ').count() <= 2;
    is_short
        .then(|| Some((capitalized(whose), own(value)?)))
        .flatten()
}

/// Two statements about a persona as one sentence, as long as those of real pages.
pub(super) fn joined(
    name: &str,
    pronoun: Option<&str>,
    first: &str,
    second: &str,
    rng: &mut ChaCha8Rng,
) -> Form {
    /// What joins them; several mean nothing by it.
    const BETWEEN: [&str; 8] = [
        " and ", ", and ", " and ", ", but ", ", while ", ", and ", "; ", " and ",
    ];
    let who = pronoun.unwrap_or(name);
    let first = first.trim_end_matches('.');
    let between = BETWEEN[rng.random_range(0..BETWEEN.len())];
    let rest = second.strip_prefix(&format!("{name} "));
    let rest_of_own = second.strip_prefix(&format!("{name}'s "));
    let second = match (rest, rest_of_own) {
        (Some(rest), _) if who != "they" => format!("{who} {rest}"),
        (_, Some(rest)) if pronoun.is_some() => format!("{} {rest}", possessive(who)),
        _ => second.to_string(),
    };
    plain(name, &format!("{first}{between}{second}"))
}

/// A statement with other digits, and with digits in place of numbers from eleven up that are written as words.
pub(super) fn in_digits(statement: &str, rng: &mut ChaCha8Rng) -> String {
    const NUMBERS: [&str; 17] = [
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
        "twenty",
        "thirty",
        "forty",
        "fifty",
        "sixty",
        "seventy",
        "eighty",
        "ninety",
    ];
    let words = statement.split(' ').map(|word| {
        let bare = word.trim_end_matches(['.', ',']);
        let end = &word[bare.len()..];
        let is_year = bare.len() == 4 && bare.chars().all(|c| c.is_ascii_digit());
        let is_number = bare
            .split('-')
            .next()
            .is_some_and(|first| NUMBERS.contains(&first));
        if is_year {
            format!("{}{end}", rng.random_range(1880..2030))
        } else if is_number {
            format!("{}{end}", rng.random_range(11..100))
        } else {
            word.to_string()
        }
    });
    words.collect::<Vec<String>>().join(" ")
}

/// The last `n` words of a text, if it has more.
fn last_words(text: &str, n: usize) -> Option<&str> {
    let mut places = text.match_indices(' ').map(|(place, _)| place).rev();
    places
        .nth(n.checked_sub(1)?)
        .map(|place| &text[place + 1..])
}

/// The text with a large first letter.
pub(super) fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::super::examples::example_rng;
    use super::*;

    /// All forms that a statement is kept in.
    fn all_kept(statement: &str) -> Vec<String> {
        let mut found: Vec<String> = (0..60)
            .map(|number| {
                let form = kept("Ada", Some("she"), statement, &mut example_rng(1, number));
                format!("{} / {}", form.statement, form.reply)
            })
            .collect();
        found.sort();
        found.dedup();
        found
    }

    #[test]
    fn pieces_of_a_page_are_answered_with_their_own_words() {
        let has = |statement: &str, expected: &str| {
            let found = all_kept(statement);
            assert!(found.iter().any(|form| form == expected), "{found:?}");
        };
        has("Ada lives in Bergen.", "Ada – Home: Bergen. / Bergen.");
        has("Ada is fond of her tea.", "Ada – Likes: my tea. / My tea.");
        has("Ada is fond of tea.", "Ada – fond of tea. / Fond of tea.");
        has("Ada is nine years old.", "Ada – Age: nine. / Nine.");
        has("Ada's old boat is red.", "Ada – Old boat: red. / Red.");
        has("Ada sings.", "Ada – sings. / I sing.");
        has("Ada sings.", "Ada – Work: She sings. / I sing.");
    }

    #[test]
    fn two_statements_in_one_sentence_are_said_in_the_first_person() {
        let rng = &mut example_rng(1, 0);
        let form = joined("Ada", Some("she"), "Ada sings.", "Ada's boat is red.", rng);
        assert!(form.statement.starts_with("Ada sings") && form.statement.contains("her boat"));
        assert!(form.reply.starts_with("I sing") && form.reply.ends_with("my boat is red."));
    }

    #[test]
    fn numbers_become_digits() {
        let text = in_digits(
            "Ada, twenty-six, left in 1990 with two bags.",
            &mut example_rng(1, 0),
        );
        let words: Vec<&str> = text.split(' ').collect();
        let number = |word: &str| word.trim_end_matches(',').parse::<usize>().unwrap();
        assert!((11..100).contains(&number(words[1])));
        assert!((1880..2030).contains(&number(words[4])));
        assert!(text.ends_with("with two bags."));
    }
}
