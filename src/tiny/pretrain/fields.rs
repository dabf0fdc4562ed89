//! Fields of pages, which say what a statement does: "Home: Bergen", "Food she hates: olives (and capers)".

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::forms::{Form, HEADINGS, fronted, last_words};
use crate::tiny::english::{base, capitalized, ing};

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

/// Openings of what is not so, and the names of fields that have what follows. Only a sentence says it again: the value alone would say
/// that it is so.
const DENIALS: [(&str, &[&str]); 11] = [
    ("does not eat ", &["Doesn't eat", "Never eats", "Avoids"]),
    ("does not drink ", &["Doesn't drink", "Never drinks"]),
    ("does not like ", &["Doesn't like", "Dislikes"]),
    ("does not ", &["Does not", "Doesn't"]),
    ("has never ", &["Has never", "Never"]),
    ("never eats ", &["Never eats", "Doesn't eat"]),
    ("never ", &["Never"]),
    ("cannot eat ", &["Cannot eat", "Allergic to"]),
    ("cannot ", &["Cannot", "Can't"]),
    ("will not ", &["Will not", "Won't"]),
    ("has no ", &["Has no", "No"]),
];

/// A field that says what the statement does; none for some, and where no field is easily made.
pub(super) fn as_field(
    name: &str,
    pronoun: Option<&str>,
    said: &Form,
    rng: &mut ChaCha8Rng,
) -> Option<Form> {
    if let Some((key, value)) = field(name, said, rng)
        && rng.random_bool(0.6)
    {
        return Some(field_form(name, &key, &value, rng));
    }
    let rest = said.statement.strip_prefix(&format!("{name} "))?;
    if let Some(form) = denial(name, rest, said, rng) {
        return Some(form);
    }
    if let Some(thing) = rest.strip_prefix("has no ")
        && rng.random_bool(0.7)
    {
        let thing = capitalized(thing.trim_end_matches('.'));
        return Some(Form {
            statement: format!("{name} – {thing}: none."),
            ..said.clone()
        });
    }
    match rng.random_range(0..10) {
        0..3 => {
            let (key, value) = any_field(pronoun, rest, said, rng)?;
            Some(field_form(name, &key, &value, rng))
        }
        3 => under_time(name, rest, said, rng),
        _ => None,
    }
}

/// A field of what is not so, which a sentence says again.
fn denial(name: &str, rest: &str, said: &Form, rng: &mut ChaCha8Rng) -> Option<Form> {
    let (keys, value) = DENIALS
        .iter()
        .find_map(|(opening, keys)| Some((keys, rest.strip_prefix(opening)?)))?;
    if !rng.random_bool(0.4) {
        return None;
    }
    let key = keys[rng.random_range(0..keys.len())];
    let value = match rng.random_bool(0.5) {
        true => capitalized(value),
        false => value.to_string(),
    };
    Some(Form {
        statement: format!("{name} – {key}: {value}"),
        ..said.clone()
    })
}

/// A field of any name with what stands behind the verb, as pages have many that no list knows.
fn any_field(
    pronoun: Option<&str>,
    rest: &str,
    said: &Form,
    rng: &mut ChaCha8Rng,
) -> Option<(String, String)> {
    /// Words after which no thing follows.
    const NO_VERBS: [&str; 18] = [
        "is", "was", "can", "cannot", "will", "would", "could", "does", "did", "never", "no",
        "had", "always", "once", "still", "often", "only", "used",
    ];
    let (verb, value) = rest.trim_end_matches('.').split_once(' ')?;
    let is_task = value.starts_with("to ") && verb == "has";
    if NO_VERBS.contains(&verb) || value.starts_with("never ") || is_task {
        return None;
    }
    let value = last_words(said.reply.trim_end_matches('.'), value.split(' ').count())?;
    let heading = HEADINGS[rng.random_range(0..HEADINGS.len())];
    let who = pronoun.filter(|pronoun| *pronoun != "they");
    let key = match (rng.random_range(0..4), who) {
        (0, Some(who)) if verb != "has" => format!("{heading} {who} {verb}"),
        (1, Some(who)) if verb != "has" => format!("What {who} {verb}"),
        (2, _) if rng.random_bool(0.5) => capitalized(verb),
        (2, _) => capitalized(&ing(&base(verb))),
        _ => heading.to_string(),
    };
    let value = match rng.random_range(0..6) {
        // With marks as pages have them.
        0 => value.replacen(" and ", "; ", 1),
        1 => value.replacen(", ", "; ", 1),
        2 => match value
            .rsplit_once(" in ")
            .filter(|(thing, _)| thing.contains(' '))
        {
            Some((thing, place)) => format!("{thing} (in {place})"),
            None => value.to_string(),
        },
        _ => value.to_string(),
    };
    Some((key, value))
}

/// What somebody does, under when or where: "Sundays: Sings in a choir."
fn under_time(name: &str, rest: &str, said: &Form, rng: &mut ChaCha8Rng) -> Option<Form> {
    let (lead, rest) = fronted(rest);
    let lead = lead.trim();
    let own = said.reply.trim_end_matches('.');
    // What is said of it stands in front of the time.
    let before = own.strip_suffix(lead)?.trim_end();
    if lead.is_empty() {
        return None;
    }
    let key = match lead.strip_prefix("on ") {
        Some(day) if rng.random_bool(0.6) => day,
        _ => lead,
    };
    let rest = match rng.random_bool(0.6) {
        true => capitalized(&rest),
        false => rest,
    };
    Some(Form {
        statement: format!("{name} – {}: {rest}", capitalized(key)),
        reply: format!("{before}."),
        ..said.clone()
    })
}

/// A field with its value, alone or in a row of a table; now and then the value alone, as lists of facts have it.
fn field_form(name: &str, key: &str, value: &str, rng: &mut ChaCha8Rng) -> Form {
    /// The names of two columns.
    const COLUMNS: [(&str, &str); 6] = [
        ("Thing", "Yes"),
        ("What", "Which"),
        ("Topic", "Note"),
        ("Who", "What"),
        ("Subject", "Detail"),
        ("Item", "Remark"),
    ];
    let (statement, reply) = match rng.random_range(0..20) {
        0..3 => {
            let (first, second) = COLUMNS[rng.random_range(0..COLUMNS.len())];
            let statement = format!("{name} – {first}: {key}; {second}: {value}.");
            (statement, capitalized(value))
        }
        3 => (format!("About {name}: {value}."), capitalized(value)),
        4..10 => {
            let statement = format!("{name} – {key}: {}.", capitalized(value));
            (statement, capitalized(value))
        }
        _ => (format!("{name} – {key}: {value}."), capitalized(value)),
    };
    Form {
        statement,
        reply: format!("{reply}."),
        is_sentence: false,
        is_joined: false,
    }
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
    let is_short = whose.split(' ').count() <= 2 && !whose.contains(',');
    is_short
        .then(|| Some((capitalized(whose), own(value)?)))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::super::forms::plain;
    use super::super::recipe::example_rng;
    use super::*;

    /// All fields that say what a statement does.
    fn fields(statement: &str) -> Vec<String> {
        let said = plain("Ada", statement);
        let forms = (0..600).filter_map(|number| {
            let form = as_field("Ada", Some("she"), &said, &mut example_rng(1, number))?;
            Some(format!("{} / {}", form.statement, form.reply))
        });
        forms.collect()
    }

    #[test]
    fn a_field_of_any_name_is_answered_with_its_value() {
        let has = |statement: &str, expected: &str| {
            let found = fields(statement);
            assert!(found.iter().any(|form| form == expected), "{found:?}");
        };
        has(
            "Ada keeps two dogs and a goat.",
            "Ada – Food she keeps: two dogs and a goat. / Two dogs and a goat.",
        );
        has(
            "Ada keeps two dogs and a goat.",
            "Ada – What she keeps: two dogs; a goat. / Two dogs; a goat.",
        );
        has(
            "Ada breeds her own bees.",
            "Ada – Breeds: my own bees. / My own bees.",
        );
        has(
            "Ada breeds her own bees.",
            "Ada – Breeding: My own bees. / My own bees.",
        );
        has(
            "Ada wants to be a pastry chef.",
            "Ada – Home: To be a pastry chef. / To be a pastry chef.",
        );
        has(
            "Ada has a small boat in Bergen.",
            "Ada – Hobbies: A small boat (in Bergen). / A small boat (in Bergen).",
        );
    }

    #[test]
    fn what_is_done_at_a_time_stands_under_it() {
        let found = fields("Ada sings in a choir on Sundays.");
        for expected in [
            "Ada – Sundays: Sings in a choir. / I sing in a choir.",
            "Ada – On Sundays: sings in a choir. / I sing in a choir.",
        ] {
            assert!(found.iter().any(|form| form == expected), "{found:?}");
        }
    }

    #[test]
    fn what_is_not_so_is_denied_in_a_sentence() {
        let found = fields("Ada does not eat fish.");
        let expected = "Ada – Doesn't eat: Fish. / I do not eat fish.";
        assert!(found.iter().any(|form| form == expected), "{found:?}");
        let mut replies = found.iter().map(|form| form.rsplit(" / ").next().unwrap());
        assert!(replies.all(|reply| reply.contains("not")), "{found:?}");
    }
}
