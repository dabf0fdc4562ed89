//! The same words in another person: `Alice plays` is `I play`, `you play`, and back.

use super::case::{Case, case_of};
use super::main::{self, Subject};
use super::names::Names;
use super::subject::verb_after;
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::people::Gender;
use crate::tiny::english::words::tokens::{Token, capitalized, join};
use crate::tiny::english::words::verbs::{self, THIRD};

/// Who the character is spoken of as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Person {
    First,
    Second,
}

impl Person {
    /// Nominative, accusative, possessive, possessive alone, reflexive.
    pub(crate) fn forms(self) -> [&'static str; 5] {
        match self {
            Self::First => ["I", "me", "my", "mine", "myself"],
            Self::Second => ["you", "you", "your", "yours", "yourself"],
        }
    }

    fn group_forms(self) -> [&'static str; 5] {
        match self {
            Self::First => ["we", "us", "our", "ours", "ourselves"],
            Self::Second => ["you", "you", "your", "yours", "yourselves"],
        }
    }
}

/// Returns the statement as the character would say it.
///
/// A piece that was kept as it stands (`Alice – …`) loses the name in front. In the rest the name is put into the first person, but no
/// pronoun is: it may mean somebody else. A question with its answer is not changed.
pub fn first_person(character: &str, statement: &str) -> String {
    let mut names = Names::new(character);
    let kept = statement
        .strip_prefix(character.trim())
        .and_then(|rest| rest.strip_prefix(" – "));
    let Some(kept) = kept else {
        return join(&to_person(&names.tag(statement), Person::First));
    };
    names.is_settled = true;
    let mut tokens = names.tag_names(kept);
    if kept.contains("? ") || !tokens.iter().any(|token| token.me) {
        return kept.to_owned();
    }
    // `Alice says that she is ill`: whom the pronoun means is not known.
    for at in 0..tokens.len() {
        let is_followed = tokens[at + 1..]
            .iter()
            .any(|token| token.is_in("he she they"));
        tokens[at].me &= !is_followed || case_of(&tokens, at) != Case::Nominative;
    }
    join(&to_person(&tokens, Person::First))
}

/// Whether the verb reports what someone says or thinks.
pub(crate) fn says(lower: &str) -> bool {
    const REPORTING: &[&str] = &[
        "say", "state", "reveal", "add", "claim", "note", "explain", "remark", "report", "suggest",
        "mention", "think", "believe", "know", "feel", "confirm", "write", "maintain", "argue",
        "hope", "learn", "realize", "realise",
    ];
    verbs::known_base(lower).is_some_and(|base| REPORTING.contains(&base))
}

/// The sentence with the character as `I` or `you`.
pub(crate) fn to_person(tokens: &[Token], person: Person) -> Vec<Token> {
    let shared = share(tokens, person);
    let tokens = shared.as_deref().unwrap_or(tokens);
    let group = main::parse(tokens).filter(|clause| clause.kind == Subject::WithMe);
    let mut out: Vec<Option<Token>> = tokens.iter().cloned().map(Some).collect();
    let [nominative, accusative, possessive, alone, reflexive] = person.forms();
    for at in 0..tokens.len() {
        if !tokens[at].me {
            continue;
        }
        let word = match case_of(tokens, at) {
            Case::Nominative if is_inverted(tokens, at) => {
                set_verb(tokens, at - 1, person, &mut out);
                nominative
            }
            Case::Nominative => {
                let in_group = group
                    .as_ref()
                    .is_some_and(|group| (group.start..group.subject_end).contains(&at));
                if !in_group {
                    agree_verbs(tokens, at, person, &mut out);
                }
                nominative
            }
            Case::Accusative => accusative,
            Case::Possessive => possessive,
            Case::PossessiveAlone => alone,
            Case::Reflexive => reflexive,
        };
        if tokens.get(at + 1).is_some_and(Token::is_genitive) {
            out[at + 1] = None;
        }
        if let Some(token) = &mut out[at] {
            token.set(word);
        }
    }
    if let Some(group) = group {
        regroup(tokens, &group, person, &mut out);
    }
    let mut out: Vec<Token> = out.into_iter().flatten().collect();
    if let Some(first) = out.iter_mut().find(|token| token.is_word()) {
        let text = capitalized(&first.text);
        first.text = text;
    }
    out
}

/// Whether the subject at `at` stands behind its verb: `so does she`.
fn is_inverted(tokens: &[Token], at: usize) -> bool {
    at > 1
        && tokens[at - 2].is_any(&["so", "nor", "neither"])
        && verbs::is_auxiliary(&tokens[at - 1].lower)
}

/// Puts the verbs of the subject at `at` into the new person.
fn agree_verbs(tokens: &[Token], at: usize, person: Person, out: &mut [Option<Token>]) {
    let plural = tokens[at].is_any(&["they", "i", "you"]);
    let main = || {
        main::parse(tokens)
            .filter(|clause| clause.start == at && clause.kind == Subject::Me)
            .map(|clause| clause.verb)
    };
    let Some(verb) = first_verb(tokens, at, plural).or_else(main) else {
        return;
    };
    set_verb(tokens, verb, person, out);
    let mut subordinate = false;
    for idx in verb + 1..tokens.len() {
        let token = &tokens[idx];
        if token.is_any(&[";", ".", "he", "she", "they", "i", "you", "we", "it"])
            || (token.me && case_of(tokens, idx) == Case::Nominative)
        {
            return;
        }
        subordinate |= token.is_any(&[
            "who", "which", "that", "where", "when", "because", "while", "as", "if", "whose",
            "what", "how", "although", "though", "before", "after",
        ]);
        if !(token.is_any(&["and", "or", "but", "then", "yet"])
            || (token.is(",") && is_verb_list(tokens, idx)))
        {
            continue;
        }
        let mut next = idx + 1;
        while tokens
            .get(next)
            .is_some_and(|token| verbs::is_adverb(&token.lower))
        {
            next += 1;
        }
        let Some(coordinated) = tokens.get(next) else {
            continue;
        };
        // `and so does her wife`
        if tokens[next - 1].is("so") && tokens.get(next + 1).is_some_and(Token::is_word) {
            continue;
        }
        let comma = token.is(",") || idx > 0 && tokens[idx - 1].is(",");
        let auxiliary = verbs::is_auxiliary(&coordinated.lower);
        let form = verbs::known(&coordinated.lower).is_some_and(|(_, forms)| forms & THIRD != 0)
            || auxiliary;
        if form && (!subordinate || comma) && (auxiliary || !is_plural_noun(tokens, next)) {
            set_verb(tokens, next, person, out);
        }
    }
}

pub(crate) fn first_verb(tokens: &[Token], at: usize, plural: bool) -> Option<usize> {
    if let Some(verb) = verb_after(tokens, at + 1, plural) {
        return Some(verb);
    }
    if tokens.get(at + 1)?.is(",") {
        let close = (at + 2..tokens.len().min(at + 18))
            .find(|&idx| tokens[idx].is(",") && verb_after(tokens, idx + 1, plural).is_some())?;
        return verb_after(tokens, close + 1, plural);
    }
    None
}

/// Whether a comma stands between verbs: `reads, writes and sings`.
fn is_verb_list(tokens: &[Token], comma: usize) -> bool {
    let third = |at: usize| {
        tokens.get(at).is_some_and(|token| {
            verbs::known(&token.lower).is_some_and(|(_, forms)| forms & THIRD != 0)
        })
    };
    let mut next = comma + 1;
    while tokens
        .get(next)
        .is_some_and(|token| verbs::is_adverb(&token.lower))
    {
        next += 1;
    }
    third(next)
        && tokens.get(next + 1).is_some_and(|after| {
            grammar::is_determiner(&after.lower)
                || after.is(",")
                || grammar::is_preposition(&after.lower)
        })
        || (third(next) && comma > 0 && third(comma - 1))
        || (third(next)
            && (next + 1..tokens.len().saturating_sub(1)).any(|at| {
                tokens[at].is("and")
                    && (third(at + 1) || verbs::is_adverb(&tokens[at + 1].lower) && third(at + 2))
            }))
}

/// Whether a word like `plays` is a noun after `and`.
fn is_plural_noun(tokens: &[Token], at: usize) -> bool {
    const NOUNS: &str = "plays works dances drinks walks dreams games hopes fears loves thoughts talks visits stories needs views notes \
        plans paints trades forms practices experiences uses interests";
    let before =
        at >= 2 && verbs::known(&tokens[at - 2].lower).is_none_or(|(_, forms)| forms & THIRD == 0);
    tokens[at].is_in(NOUNS)
        && before
        && tokens
            .get(at + 1)
            .is_none_or(|next| !next.is_word() || next.is_any(&["of", "and", "or"]))
}

fn set_verb(tokens: &[Token], at: usize, person: Person, out: &mut [Option<Token>]) {
    if let Some(token) = &mut out[at] {
        let text = verbs::agree(&tokens[at].lower, person == Person::Second);
        token.set(&text);
    }
}

/// `Alice and Bob share their flat`: `Bob and I share our flat`.
fn regroup(tokens: &[Token], group: &main::Clause, person: Person, out: &mut [Option<Token>]) {
    let [nominative, accusative, possessive, alone, reflexive] = person.group_forms();
    for at in group.verb + 1..tokens.len() {
        let word = match tokens[at].lower.as_str() {
            _ if tokens[at].me => continue,
            "they" => nominative,
            "them" => accusative,
            "their" => possessive,
            "theirs" => alone,
            "themselves" => reflexive,
            _ => continue,
        };
        if let Some(token) = &mut out[at] {
            token.set(word);
        }
    }
    let subject = &tokens[group.start..group.subject_end];
    let swapped = if person == Person::First { 0 } else { 2 };
    if subject.len() == 3 && subject[1].is("and") && subject[swapped].me {
        let mut left = subject[2].clone();
        let mut right = subject[0].clone();
        if person == Person::First {
            right.set("I")
        } else {
            left.set("you")
        }
        (left.space, right.space) = (subject[0].space, true);
        out[group.start] = Some(left);
        out[group.start + 2] = Some(right);
    }
}

/// `Alice and Tom's daughter`: `Tom's and my daughter`.
fn share(tokens: &[Token], person: Person) -> Option<Vec<Token>> {
    let at = tokens.windows(4).position(|words| {
        words[0].me
            && Gender::of_pronoun(&words[0].lower).is_none()
            && words[1].is("and")
            && words[2].is_capital()
            && words[3].is_genitive()
    })?;
    let mut own = Token::new(person.forms()[2], true);
    own.me = true;
    let mut name = tokens[at + 2].clone();
    name.space = tokens[at].space;
    let shared = [name, tokens[at + 3].clone(), tokens[at + 1].clone(), own];
    Some([&tokens[..at], &shared[..], &tokens[at + 4..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, first: &str) {
        let tokens = Names::new("Alice").tag(text);
        assert_eq!(join(&to_person(&tokens, Person::First)), first);
    }

    #[test]
    fn statements_become_the_characters_own_words() {
        check("Alice plays the guitar.", "I play the guitar.");
        check("Alice's mother is a nurse.", "My mother is a nurse.");
        check("Alice often writes.", "I often write.");
        check(
            "Alice sings and plays the piano.",
            "I sing and play the piano.",
        );
        check(
            "Alice was born in Bonn and has three cats, but she does not like dogs.",
            "I was born in Bonn and have three cats, but I do not like dogs.",
        );
        check(
            "Alice taught herself to cook, and her friends admire her songs.",
            "I taught myself to cook, and my friends admire my songs.",
        );
        check(
            "Bob, whom Alice trusts, gave her a book.",
            "Bob, whom I trust, gave me a book.",
        );
        check(
            "Alice and Bob share their flat.",
            "Bob and I share our flat.",
        );
        check(
            "Alice loves a man who plays chess.",
            "I love a man who plays chess.",
        );
        check("Alice's mother loves her.", "My mother loves me.");
        check(
            "Alice's mother, Ruth, died when Alice was fourteen.",
            "My mother, Ruth, died when I was fourteen.",
        );
        check(
            "Alice's sister hates the cold, and so does she.",
            "My sister hates the cold, and so do I.",
        );
        check(
            "Alice hates flying, and so does her wife.",
            "I hate flying, and so does my wife.",
        );
        check(
            "Alice's wife and Alice run a bakery.",
            "My wife and I run a bakery.",
        );
        check(
            "Alice and Tom's daughter is five.",
            "Tom's and my daughter is five.",
        );
        check("Alice's \"Hill\" won a prize.", "My \"Hill\" won a prize.");
    }

    #[test]
    fn questions_say_you() {
        let tokens = Names::new("Alice")
            .tag("Alice was born in Bonn, where she still lives with her sister.");
        assert_eq!(
            join(&to_person(&tokens, Person::Second)),
            "You were born in Bonn, where you still live with your sister."
        );
    }

    #[test]
    fn of_what_was_kept_only_the_name_is_bent() {
        for (statement, expected) in [
            ("Alice – Doran: He hates Alice.", "Doran: He hates me."),
            ("Alice – She has a son.", "She has a son."),
            (
                "Alice – Alice Walker lives here.",
                "Alice Walker lives here.",
            ),
            ("Alice – Likes: all but fish.", "Likes: all but fish."),
            ("Alice – Doran hates Alice's cat.", "Doran hates my cat."),
        ] {
            assert_eq!(first_person("Alice", statement), expected);
        }
    }
}
