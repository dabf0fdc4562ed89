//! Other forms of the corpus' statements, as pages have them: pieces that are kept as they stand, two sentences in one, digits.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::fields::as_field;
use super::invented::invented_word;
use super::named::KIN;
use super::numbers;
use super::speakers::possessive;
use crate::tiny::english::{self, capitalized};

/// A statement in a prompt, and what the persona says if it is asked about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) statement: String,
    pub(super) reply: String,
    /// Whether the reply is a sentence, which can stand behind a "Yes,".
    pub(super) is_sentence: bool,
    /// Whether it says several things.
    pub(super) is_joined: bool,
}

/// Headings under which a sentence may stand.
pub(super) const HEADINGS: [&str; 20] = [
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

/// The same with something between the name and the verb, which the reply leaves out.
pub(super) fn with_apposition(name: &str, said: Form, rng: &mut ChaCha8Rng) -> Form {
    const APPOSITIONS: [&str; 10] = [
        "now retired",
        "the youngest of four",
        "an only child",
        "as stubborn as ever",
        "a widow",
        "a quiet soul",
        "still single",
        "twice divorced",
        "a twin",
        "who is known all over town",
    ];
    let Some(rest) = said.statement.strip_prefix(&format!("{name} ")) else {
        return said;
    };
    let between = match rng.random_range(0..3) {
        0 | 1 => numbers::written(rng.random_range(16..95), rng),
        _ => APPOSITIONS[rng.random_range(0..APPOSITIONS.len())].to_string(),
    };
    Form {
        statement: format!("{name}, {between}, {rest}"),
        ..said
    }
}

/// The same with an invented name for the relative or the animal that it is about: "My sister, Orla, sings."
pub(super) fn with_name(name: &str, said: Form, rng: &mut ChaCha8Rng) -> Form {
    const ANIMALS: [&str; 12] = [
        "cat", "dog", "horse", "pony", "goat", "mule", "donkey", "parrot", "hen", "rabbit",
        "tortoise", "puppy",
    ];
    /// Words that may stand before it.
    const MOST: usize = 2;
    const VERBS: [&str; 36] = [
        "is", "was", "has", "had", "can", "cannot", "does", "lives", "lived", "works", "worked",
        "died", "plays", "sleeps", "keeps", "runs", "ran", "teaches", "taught", "drives", "sings",
        "studies", "thinks", "says", "owns", "likes", "loves", "hates", "never", "always", "still",
        "left", "moved", "gave", "wants", "sells",
    ];
    let Some(own) = said.statement.strip_prefix(&format!("{name}'s ")) else {
        return said;
    };
    let words: Vec<&str> = own.split(' ').collect();
    let is_somebody = |word: &&str| KIN.contains(word) || ANIMALS.contains(word);
    let Some(place) = words.iter().take(MOST + 1).position(is_somebody) else {
        return said;
    };
    let somebody = words[..=place].join(" ");
    // Behind it a verb, and not what names it.
    let next = words.get(place + 1).copied().unwrap_or_default();
    let behind = words.get(place + 2).copied().unwrap_or_default();
    let is_naming = ["called", "named"].contains(&behind)
        || ["is", "was"].contains(&next) && behind.starts_with(char::is_uppercase);
    let goes_on = VERBS.contains(&next) && !is_naming;
    let whose = format!("My {somebody} ");
    if !goes_on || !said.reply.starts_with(&whose) {
        return said;
    }
    let called = invented_word(true, rng);
    Form {
        statement: said.statement.replacen(
            &format!("{somebody} "),
            &format!("{somebody}, {called}, "),
            1,
        ),
        reply: said
            .reply
            .replacen(&whose, &format!("My {somebody}, {called}, "), 1),
        ..said
    }
}

/// The statement as it is, with the reply in the first person.
pub(super) fn plain(name: &str, statement: &str) -> Form {
    Form {
        reply: english::first_person(name, statement),
        statement: statement.to_string(),
        is_sentence: true,
        is_joined: false,
    }
}

/// A piece of a page that says what the statement does and is kept as it stands, with the name in front: a field, a row of
/// a table, the words behind the name, or a sentence, under a heading or without one.
///
/// The reply to a field is its value, or a sentence where the value alone would say the contrary; to the words behind `is`, these words;
/// to anything else a sentence, most often in the first person.
pub(super) fn kept(name: &str, pronoun: Option<&str>, said: Form, rng: &mut ChaCha8Rng) -> Form {
    let statement = &said.statement;
    if !said.is_joined
        && let Some(form) = as_field(name, pronoun, &said, rng)
    {
        return form;
    }
    let heading = HEADINGS[rng.random_range(0..HEADINGS.len())];
    let under = match rng.random_bool(0.4) {
        true => format!("{name} – {heading}: "),
        false => format!("{name} – "),
    };
    let own = said.reply.clone();
    let Some(rest) = statement.strip_prefix(&format!("{name} ")) else {
        let whose = own.strip_prefix("My ").filter(|_| !said.is_joined);
        if let Some((what, who)) = whose.and_then(|whose| whose.split_once(" is "))
            && who
                .split(' ')
                .all(|word| word.starts_with(char::is_uppercase))
            && rng.random_bool(0.5)
        {
            // `Kenta is his best friend.`
            let who = who.trim_end_matches('.');
            let statement = match pronoun.filter(|_| rng.random_bool(0.7)) {
                Some(pronoun) => format!("{under}{who} is {} {what}.", possessive(pronoun)),
                None => format!("{who} is {name}'s {what}."),
            };
            return Form {
                statement,
                reply: format!("{who} is my {what}."),
                ..said
            };
        }
        return match whose.filter(|_| rng.random_bool(0.4)) {
            // Of somebody else, who is named before.
            Some(of_other) => Form {
                statement: format!("{under}The {of_other}"),
                reply: format!("The {of_other}"),
                ..said
            },
            // As a page in the first person has it.
            None => Form {
                statement: format!("{name} – {own}"),
                ..said
            },
        };
    };
    if let Some(what) = rest.strip_prefix("is ")
        && !rest.starts_with("is not ")
        && rng.random_bool(0.7)
        && let Some(own) = last_words(&own, what.split(' ').count())
    {
        return Form {
            statement: match rng.random_bool(0.5) {
                true => format!("{name} – {what}"),
                false => format!("{under}{}", capitalized(what)),
            },
            reply: capitalized(own),
            is_sentence: false,
            is_joined: false,
        };
    }
    let (lead, rest) = match rng.random_bool(0.4) {
        true => fronted(rest),
        false => (String::new(), rest.to_string()),
    };
    let statement = match (pronoun, rng.random_range(0..4)) {
        (Some(pronoun), 0 | 1) if pronoun != "they" => {
            format!("{under}{}", capitalized(&format!("{lead}{pronoun} {rest}")))
        }
        (_, 2) if lead.is_empty() => format!("{under}{own}"),
        _ => {
            let of_page = format!("{lead}{name} {rest}");
            return Form {
                statement: match (lead.is_empty(), rng.random_bool(0.5)) {
                    (true, true) => format!("{under}{rest}"),
                    (true, false) => format!("{under}{}", capitalized(&rest)),
                    (false, _) => capitalized(&of_page),
                },
                ..said
            };
        }
    };
    Form { statement, ..said }
}

/// The words behind a name with their last phrase of time or place, which comes to stand in front: "On Sundays ".
pub(super) fn fronted(rest: &str) -> (String, String) {
    let same = (String::new(), rest.to_string());
    let places = [
        " on ", " at ", " in ", " every ", " after ", " before ", " with ",
    ];
    let last = places.iter().filter_map(|phrase| rest.rfind(phrase)).max();
    let Some(place) = last.filter(|place| rest[..*place].split(' ').count() > 2) else {
        return same;
    };
    let (before, phrase) = (&rest[..place], rest[place + 1..].trim_end_matches('.'));
    (format!("{phrase} "), format!("{before}."))
}

/// Several statements about a persona as one sentence, as long as those of real pages: what each says with a subject of
/// its own, or all that the persona does in a row.
pub(super) fn joined(
    name: &str,
    pronoun: Option<&str>,
    statements: &[String],
    rng: &mut ChaCha8Rng,
) -> Form {
    /// What joins them; what stands there twice is drawn more often.
    const BETWEEN: [&str; 9] = [
        " and ", ", and ", " and ", ", but ", ", while ", ", and ", "; ", ", ", " and ",
    ];
    let between = BETWEEN[rng.random_range(0..BETWEEN.len())];
    let is_row = rng.random_bool(0.5);
    let (mut statement, mut reply) = (String::new(), String::new());
    for (place, next) in statements.iter().enumerate() {
        let next = next.trim_end_matches('.');
        let own = english::first_person(name, next);
        if place == 0 {
            (statement, reply) = (next.to_string(), own);
            continue;
        }
        let rest = next.strip_prefix(&format!("{name} "));
        let rest_of_own = next.strip_prefix(&format!("{name}'s "));
        let joint = match place + 1 == statements.len() {
            true => between,
            false => ", ",
        };
        let (told, said) = match (rest, own.strip_prefix("I "), rest_of_own) {
            (Some(rest), Some(own), _) if is_row && joint != ", while " => {
                (rest.to_string(), own.to_string())
            }
            (Some(rest), _, _) => {
                let who = pronoun.filter(|pronoun| *pronoun != "they");
                (format!("{} {rest}", who.unwrap_or(name)), own)
            }
            (_, _, Some(rest)) => {
                let told = pronoun.map(|pronoun| format!("{} {rest}", possessive(pronoun)));
                (told.unwrap_or_else(|| next.to_string()), inside(&own))
            }
            _ => (inside(next), inside(&own)),
        };
        statement = format!("{statement}{joint}{told}");
        reply = format!("{reply}{joint}{said}");
    }
    Form {
        statement: statement + ".",
        reply: reply + ".",
        is_sentence: true,
        is_joined: true,
    }
}

/// A sentence as it stands inside another.
pub(super) fn inside(sentence: &str) -> String {
    const SMALL: [&str; 12] = [
        "My ", "The ", "A ", "An ", "In ", "On ", "At ", "Our ", "When ", "Every ", "There ", "It ",
    ];
    match SMALL.iter().any(|word| sentence.starts_with(word)) {
        true => sentence[..1].to_lowercase() + &sentence[1..],
        false => sentence.to_string(),
    }
}

/// A statement with random other years, and with random numbers in digits for number words from eleven up.
pub(super) fn with_other_numbers(statement: &str, rng: &mut ChaCha8Rng) -> String {
    let words = statement.split(' ').map(|word| {
        let bare = word.trim_end_matches(['.', ',']);
        let end = &word[bare.len()..];
        let is_year = bare.len() == 4 && bare.chars().all(|c| c.is_ascii_digit());
        let is_word = bare.starts_with(char::is_alphabetic);
        if is_year {
            format!("{}{end}", rng.random_range(1880..2030))
        } else if is_word && numbers::value(bare).is_some_and(|number| number > 10) {
            format!("{}{end}", rng.random_range(11..100))
        } else {
            word.to_string()
        }
    });
    words.collect::<Vec<String>>().join(" ")
}

/// The last `n` words of a text, if it has more.
pub(super) fn last_words(text: &str, n: usize) -> Option<&str> {
    let mut places = text.match_indices(' ').map(|(place, _)| place).rev();
    places
        .nth(n.checked_sub(1)?)
        .map(|place| &text[place + 1..])
}

#[cfg(test)]
mod tests {
    use super::super::recipe::example_rng;
    use super::*;

    /// All forms that a statement is kept in.
    fn all_kept(statement: &str) -> Vec<String> {
        let mut found: Vec<String> = (0..60)
            .map(|number| {
                let form = kept(
                    "Ada",
                    Some("she"),
                    plain("Ada", statement),
                    &mut example_rng(1, number),
                );
                format!("{} / {}", form.statement, form.reply)
            })
            .collect();
        found.sort();
        found.dedup();
        found
    }

    #[test]
    fn a_relative_or_an_animal_gets_a_name_where_its_verb_comes_next() {
        for (statement, is_named) in [
            ("Ada's old grey cat sleeps in a box.", true),
            ("Ada's brother can swim.", true),
            ("Ada's brother Bo can swim.", false),
            ("Ada's brother is called Bo.", false),
            ("Ada's brother is Bo.", false),
            ("Ada's mother tongue is Welsh.", false),
            ("Ada's mother and father are dead.", false),
            ("Ada's boat is red.", false),
            ("Ada likes cats.", false),
        ] {
            let said = plain("Ada", statement);
            let form = with_name("Ada", said.clone(), &mut example_rng(1, 0));
            if !is_named {
                assert_eq!(form, said);
                continue;
            }
            let parts = |text: &str| text.split(", ").map(str::to_string).collect::<Vec<_>>();
            let (stated, replied) = (parts(&form.statement), parts(&form.reply));
            assert_eq!((stated.len(), &stated[1..]), (3, &replied[1..]));
            assert_eq!(format!("{} {}", stated[0], stated[2]), statement);
            assert_eq!(format!("{} {}", replied[0], replied[2]), said.reply);
        }
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
        has(
            "Ada's old boat is red.",
            "Ada – My old boat is red. / My old boat is red.",
        );
        has(
            "Ada's best friend is Bo.",
            "Ada – Bo is her best friend. / Bo is my best friend.",
        );
        has(
            "Ada's best friend is Bo.",
            "Bo is Ada's best friend. / Bo is my best friend.",
        );
        has("Ada sings.", "Ada – sings. / I sing.");
        has("Ada sings.", "Ada – She sings. / I sing.");
        has("Ada sings.", "Ada – I sing. / I sing.");
        has("Ada has no boat.", "Ada – Boat: none. / I have no boat.");
        has(
            "Ada sings in a choir on Sundays.",
            "Ada – On Sundays she sings in a choir. / I sing in a choir on Sundays.",
        );
    }

    #[test]
    fn several_statements_in_one_sentence_are_said_in_the_first_person() {
        let forms = |statements: &[&str]| -> Vec<String> {
            let statements: Vec<String> = statements.iter().map(ToString::to_string).collect();
            let forms = (0..40).map(|number| {
                let rng = &mut example_rng(1, number);
                let form = joined("Ada", Some("she"), &statements, rng);
                format!("{} / {}", form.statement, form.reply)
            });
            forms.collect()
        };
        let has = |statements: &[&str], expected: &str| {
            let found = forms(statements);
            assert!(found.iter().any(|form| form == expected), "{found:?}");
        };
        has(
            &["Ada sings.", "Ada's boat is red."],
            "Ada sings, but her boat is red. / I sing, but my boat is red.",
        );
        has(
            &["Ada sings.", "Ada has a boat."],
            "Ada sings and she has a boat. / I sing and I have a boat.",
        );
        has(
            &["Ada sings.", "Ada has a boat.", "Ada is old."],
            "Ada sings, has a boat, and is old. / I sing, have a boat, and am old.",
        );
    }

    #[test]
    fn numbers_become_digits() {
        let text = with_other_numbers(
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
