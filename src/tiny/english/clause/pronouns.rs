//! Which pronouns of a sentence mean the character.

use super::main::{self, Subject};
use super::possessive::is_possessive;
use super::subject;
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::people::{Gender, is_person_word, person_gender};
use crate::tiny::english::words::tokens::Token;
use crate::tiny::english::words::verbs;

/// Marks the pronouns of a sentence that mean the character named in it.
pub(crate) fn mark_pronouns(tokens: &mut [Token], gender: Gender) {
    if let Some(clause) = main::parse(tokens) {
        let first = &tokens[clause.start];
        let own = first.is(gender.forms()[0])
            || (Gender::of_pronoun(&first.lower) == Some(gender)
                && is_possessive(tokens, clause.start));
        tokens[clause.start].me |= own;
    }
    let rival_from = main::parse(tokens).and_then(|clause| {
        let subject = &tokens[clause.start..clause.subject_end];
        let rival = match clause.kind {
            Subject::Me | Subject::WithMe => false,
            Subject::Mine => person_gender(&subject[1.min(subject.len())..])
                .is_some_and(|who| rivals(who, gender)),
            Subject::Other => person_gender(subject).is_some_and(|who| rivals(who, gender)),
        };
        rival.then_some(clause.verb)
    });
    let plural_before: Vec<bool> = (0..tokens.len())
        .map(|idx| gender == Gender::They && has_other_plural(tokens, idx))
        .collect();
    let mut who_clause = false;
    let mut recent = false;
    for idx in 0..tokens.len() {
        let nominative = tokens[idx].is(gender.forms()[0]);
        if idx > 0
            && !nominative
            && tokens[idx - 1].me
            && (rival_from.is_some_and(|verb| idx - 1 > verb))
            && !is_possessive(tokens, idx - 1)
            && !tokens[idx].is_genitive()
        {
            recent = true;
        }
        if rival_from.is_some_and(|verb| idx > verb) && nominative {
            recent = false;
        }
        if idx > 0 && who_clause && tokens[idx - 1].me {
            who_clause = false;
        }
        if tokens[idx].is("who") && idx > 0 {
            let antecedent = tokens[..idx].iter().rev().find(|token| token.is_word());
            who_clause = antecedent.is_some_and(|token| {
                !token.me
                    && !grammar::is_plural(&token.lower)
                    && Gender::of_word(&token.lower).is_none_or(|other| other == gender)
            });
        } else if who_clause && (tokens[idx].is(";") || tokens[idx].me) {
            who_clause = false;
        }
        if tokens[idx].me
            || Gender::of_pronoun(&tokens[idx].lower) != Some(gender)
            || plural_before[idx]
        {
            continue;
        }
        let [nominative, accusative, ..] = gender.forms();
        let object = tokens[idx].is(accusative) && !is_possessive(tokens, idx);
        let rivalled = rival_from.is_some_and(|verb| idx > verb);
        let reflexive = tokens[idx].lower.ends_with("sel")
            || tokens[idx].lower.ends_with("self")
            || tokens[idx].lower.ends_with("selves");
        // `Her sister hates rain, and so does she`
        let is_inverted = idx > 1
            && nominative == tokens[idx].lower
            && verbs::is_auxiliary(&tokens[idx - 1].lower)
            && tokens[idx - 2].is_any(&["so", "nor", "neither"]);
        tokens[idx].me = if rivalled {
            is_inverted || (object || (recent && is_possessive(tokens, idx))) && !reflexive
        } else if who_clause {
            object
        } else if object {
            !is_object_of_me(tokens, idx)
        } else {
            tokens[idx].is(nominative)
                || is_possessive(tokens, idx)
                || reflexive
                || tokens[idx].is(gender.forms()[3])
        };
    }
}

/// The third-person pronoun of the character: the first after its name that is no one else's, or else the first before.
pub(crate) fn guess_gender(tokens: &[Token]) -> Option<Gender> {
    let first = tokens.iter().position(|token| token.me)?;
    let clause = main::parse(tokens);
    let kind = clause.as_ref().map(|clause| clause.kind);
    let plural_subject =
        kind != Some(Subject::Me) && clause.as_ref().is_some_and(|clause| clause.plural);
    let someone_else = kind == Some(Subject::Other);
    let taken = |gender: Gender| {
        let shown = |token: &Token| Gender::of_pronoun(&token.lower) == Some(gender);
        someone_else && tokens[..first].iter().any(shown)
    };
    let mut they_found = None;
    let mut fallback = None;
    for idx in (first..tokens.len()).chain(0..first) {
        let Some(gender) = Gender::of_pronoun(&tokens[idx].lower) else {
            continue;
        };
        let object = tokens[idx].is_any(&["him", "them"])
            || (tokens[idx].is("her") && !is_possessive(tokens, idx));
        let near = kind == Some(Subject::Me) && (first..first + 5).contains(&idx);
        let owner = |token: &Token| Gender::of_word(&token.lower) == Some(gender) && !token.me;
        let owned = idx > first && tokens[first..idx].iter().any(owner);
        let they = gender == Gender::They && (plural_subject || has_other_plural(tokens, idx));
        if (object && near) || they {
            continue;
        }
        if taken(gender) || owned {
            fallback = fallback.or(Some(gender));
        } else if gender != Gender::They {
            return Some(gender);
        } else {
            they_found = they_found.or(Some(gender));
        }
    }
    they_found.or(fallback)
}

/// Whether `they` or `their` at this place may mean several things or people named before.
fn has_other_plural(tokens: &[Token], at: usize) -> bool {
    let before = &tokens[..at];
    has_plural_people(before)
        || before
            .iter()
            .any(|token| token.is_in("married divorced dated"))
        || (!is_possessive(tokens, at)
            && before.iter().any(|token| {
                grammar::is_plural(&token.lower)
                    && verbs::known(&token.lower).is_none()
                    && !token.me
            }))
}

fn has_plural_people(tokens: &[Token]) -> bool {
    let coordinated = tokens
        .windows(3)
        .any(|three| three[1].is("and") && three[2].is_capital() && three[0].is_capital());
    coordinated
        || tokens.iter().any(|token| {
            grammar::is_plural(&token.lower)
                && (is_person_word(&token.lower)
                    || token.is_any(&["others", "animals", "pets", "dogs", "cats"]))
        })
}

fn rivals(who: Option<Gender>, gender: Gender) -> bool {
    who.is_none_or(|who| who == gender) || gender == Gender::They
}

/// A plain object in the clause whose subject is the character means someone else.
fn is_object_of_me(tokens: &[Token], at: usize) -> bool {
    let verb = match at.checked_sub(1) {
        Some(before) if subject::is_finite_after_me(tokens, before) => before,
        Some(before)
            if before >= 2
                && tokens[before - 1].is("to")
                && verbs::is_base(&tokens[before].lower) =>
        {
            before - 2
        }
        Some(before)
            if before >= 1
                && grammar::is_preposition(&tokens[before].lower)
                && subject::is_finite_after_me(tokens, before - 1) =>
        {
            if tokens[before].is_any(&[
                "around", "with", "behind", "about", "beside", "before", "near",
            ]) {
                return false;
            } else {
                before - 1
            }
        }
        _ => return false,
    };
    let subject = tokens[..verb]
        .iter()
        .rev()
        .find(|token| !verbs::is_adverb(&token.lower));
    subject.is_some_and(|subject| subject.me)
}

#[cfg(test)]
mod tests {
    use crate::tiny::english::clause::names::Names;

    fn marked(character: &str, text: &str) -> Vec<String> {
        Names::new(character)
            .tag(text)
            .into_iter()
            .filter(|token| token.me)
            .map(|token| token.text)
            .collect()
    }

    #[test]
    fn pronouns_of_the_character_are_marked() {
        assert_eq!(
            marked("Alice", "Alice washes herself and her dog."),
            ["Alice", "herself", "her"]
        );
        assert_eq!(marked("Alice", "Alice met Bob when he was ill."), ["Alice"]);
        assert_eq!(marked("Quill", "Quill began to visit her."), ["Quill"]);
    }

    #[test]
    fn relatives_keep_their_pronouns() {
        assert_eq!(
            marked("Alice", "Alice's mother is a nurse and she works at night."),
            ["Alice"]
        );
        assert_eq!(
            marked("Alice", "Alice's mother loves her."),
            ["Alice", "her"]
        );
        assert_eq!(
            marked("Aalten", "Johann van Aalten was a tenor in Bonn."),
            ["Aalten"]
        );
        assert_eq!(
            marked("Aalten", "His father was Johann van Aalten."),
            Vec::<String>::new()
        );
    }
}
