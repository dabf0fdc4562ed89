//! What the page shows of the character: full name, pronoun, and who speaks.

use super::blocks::Block;
use crate::tiny::english::clause::names::Names;
use crate::tiny::english::clause::voice::Person;
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::people::Gender;
use crate::tiny::english::words::sentences;
use crate::tiny::english::words::tokens::{self, Token, join, tokenize};
use crate::tiny::english::words::verbs;

/// What holds for the whole page.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub names: Names,
    /// The name in full, where it is longer than the one given.
    pub full_name: Option<String>,
    /// Set when the page is in the first or second person.
    pub voice: Option<Person>,
}

/// Reads the profile from a page.
pub(crate) fn of(character: &str, blocks: &[Block]) -> Profile {
    let mut names = Names::new(character);
    let full_name = full_name(&names.character, blocks);
    if let Some(full) = &full_name {
        names.add(full);
        let parts: Vec<String> = tokenize(full).into_iter().map(|token| token.text).collect();
        if let (Some(first), Some(last)) = (parts.first(), parts.last()) {
            names.add(&format!("{first} {last}"));
            // `Marsh was born in Cork`, of Tilda Marsh
            if tokenize(&names.character).len() == 1 && *last != names.character {
                add_if_used(&mut names, blocks, &tokenize(last));
            }
        }
    }
    add_short_names(&mut names, blocks);
    names.is_settled = true;
    let (gender, voice) = count_pronouns(&names, blocks);
    names.gender = gender;
    Profile {
        names,
        full_name,
        voice,
    }
}

/// When the whole name was given, its first and last word are the character too.
fn add_short_names(names: &mut Names, blocks: &[Block]) {
    let parts = tokenize(&names.character);
    if parts.len() < 2 || !parts.iter().all(|part| part.is_word()) {
        return;
    }
    let ends = [parts[0].clone(), parts[parts.len() - 1].clone()];
    add_if_used(names, blocks, &ends);
}

/// Adds those names that the page uses, and that are no ordinary words.
fn add_if_used(names: &mut Names, blocks: &[Block], parts: &[Token]) {
    let text = |block: &Block| match block {
        Block::Prose(text) | Block::Field { text, .. } => Some(text.clone()),
        _ => None,
    };
    let page: String = blocks.iter().filter_map(text).collect::<Vec<_>>().join(" ");
    for part in parts {
        let common = tokens::is_stop(&part.lower)
            || grammar::is_determiner(&part.lower)
            || grammar::is_adjective(&part.lower)
            || part.text.ends_with('.')
            || part.text.len() < 2
            || !part.is_capital();
        if !common && page.contains(part.text.as_str()) {
            names.add(&part.text);
        }
    }
}

/// A longer name with the character's in it, from the title, a `Name` field or the first sentence.
fn full_name(character: &str, blocks: &[Block]) -> Option<String> {
    let given = tokenize(character);
    let mut candidates: Vec<Vec<Token>> = Vec::new();
    let mut is_first = true;
    for (idx, block) in blocks.iter().enumerate().take(40) {
        match block {
            Block::Heading(text) if idx == 0 => {
                let title = tokenize(text.trim_end_matches('.'));
                candidates.extend(named_in(&given, &title));
            }
            Block::Field { name, text }
                if matches!(name.to_lowercase().as_str(), "name" | "full name") =>
            {
                candidates.push(tokenize(text.trim_end_matches('.')))
            }
            Block::Prose(text) if is_first => {
                is_first = false;
                let first = sentences::sentences(text).into_iter().next();
                candidates.extend(named_in(&given, &tokenize(&first.unwrap_or_default())));
            }
            _ => {}
        }
    }
    let contains = |candidate: &[Token]| {
        given
            .iter()
            .all(|word| candidate.iter().any(|other| other.text == word.text))
    };
    candidates
        .into_iter()
        .filter(|candidate| {
            (given.len() + 1..=6).contains(&candidate.len())
                && contains(candidate)
                && candidate.iter().all(is_name_part)
                && candidate[0].is_capital()
                && !verbs::is_adverb(&candidate[0].lower)
                && !candidate[0].is("name")
        })
        .max_by_key(Vec::len)
        .map(|candidate| join(&candidate))
}

/// The longer name in the first sentence: `Born in Bonn, Alice Moreau is a cook`, but not `Alice admires Alice Walker`.
fn named_in(given: &[Token], tokens: &[Token]) -> Option<Vec<Token>> {
    let is_given = |at: usize| given.iter().any(|word| word.text == tokens[at].text);
    // `Meet Alice Moreau`
    let is_part = |at: usize| {
        is_given(at) || is_name_part(&tokens[at]) && (at > 0 || !verbs::is_base(&tokens[at].lower))
    };
    let at = (0..tokens.len()).find(|&at| is_given(at))?;
    let start = (0..at)
        .rev()
        .take_while(|&at| is_part(at))
        .last()
        .unwrap_or(at);
    let end = (at..tokens.len())
        .find(|&at| !is_part(at))
        .unwrap_or(tokens.len());
    let is_again = (end..tokens.len()).any(is_given);
    let is_another = start > 0 && tokens[start - 1].is_in("of by with for from to like and");
    (!is_again && !is_another).then(|| tokens[start..end].to_vec())
}

fn is_name_part(token: &Token) -> bool {
    let function = grammar::is_determiner(&token.lower)
        || grammar::is_preposition(&token.lower)
        || grammar::is_subordinator(&token.lower)
        || token.is_any(&["neither", "either", "both", "nor", "not", "only", "even"]);
    token.is_word()
        && (token.is_capital() && !function
            || matches!(
                token.lower.as_str(),
                "van" | "von" | "de" | "der" | "la" | "le" | "du" | "di" | "da" | "al" | "bin"
            ))
}

/// Whether a block says `I` of somebody else: it gives another name, or speaks to the character.
fn is_of_another(names: &Names, block: &Block) -> bool {
    let Block::Prose(text) = block else {
        return false;
    };
    let tokens = tokenize(text);
    let is_name = |at: usize| {
        let Some(token) = tokens.get(at) else {
            return false;
        };
        token.is_capital()
            && token.is_word()
            && !names.character.contains(&token.text)
            && !names.tag_names(&token.text).iter().any(|token| token.me)
            && !grammar::is_adjective(&token.lower)
    };
    let introduces = tokens.windows(3).enumerate().any(|(at, words)| {
        words[0].is("my") && words[1].is("name") && words[2].is("is") && is_name(at + 3)
    });
    let addresses = tokens.windows(3).any(|words| {
        words[0].is("i") && (words[1].is("am") || words[1].is("'m")) && words[2].is("your")
    });
    introduces || addresses
}

fn count_pronouns(names: &Names, blocks: &[Block]) -> (Option<Gender>, Option<Person>) {
    let (mut he, mut she, mut they, mut first, mut second, mut named) =
        (0usize, 0usize, 0usize, 0usize, 0usize, 0usize);
    let own = tokenize(&names.character).into_iter();
    let own: Vec<String> = own.map(|token| token.text).collect();
    for block in blocks {
        let text = match block {
            Block::Field { name, text } if name.eq_ignore_ascii_case("pronouns") => {
                if let Some(gender) = tokenize(text)
                    .iter()
                    .flat_map(|token| {
                        token
                            .lower
                            .split('/')
                            .map(str::to_owned)
                            .collect::<Vec<_>>()
                    })
                    .find_map(|word| Gender::of_pronoun(&word))
                {
                    match gender {
                        Gender::He => he += 1_000_000,
                        Gender::She => she += 1_000_000,
                        Gender::They => they += 1_000_000,
                    }
                }
                continue;
            }
            Block::Prose(text) | Block::Field { text, .. } => text,
            _ => continue,
        };
        let mut quoted = false;
        for token in tokenize(text) {
            quoted ^= token.is("\"");
            match token.lower.as_str() {
                _ if quoted => {}
                "he" | "his" | "him" | "himself" => he += 1,
                "she" | "her" | "hers" | "herself" => she += 1,
                "they" | "their" | "them" | "themselves" => they += 1,
                "i" if token.text == "I" => first += 1,
                "my" | "me" | "myself" | "mine" => first += 1,
                "you" | "your" | "yourself" | "yours" => second += 1,
                "they/them" | "they/them/their" => they += 1_000,
                _ => named += usize::from(token.is_capital() && own.contains(&token.text)),
            }
        }
    }
    // `I am your father.`, `My name is Tom.`: somebody else writes.
    if first > 0 && blocks.iter().any(|block| is_of_another(names, block)) {
        first = 0;
    }
    let third = he + she + named;
    let voice = if first > third && first >= second {
        Some(Person::First)
    } else if second > third {
        Some(Person::Second)
    } else {
        None
    };
    // A page that never names the character shows the pronoun itself.
    let is_shown = named == 0 && (he == 0) != (she == 0);
    match names.gender {
        _ if is_shown => {}
        Some(Gender::He) => he += 3,
        Some(Gender::She) => she += 3,
        _ => {}
    }
    if voice.is_some() && names.gender.is_some() && he.max(she).max(they) < 1_000_000 {
        return (names.gender, voice);
    }
    let gender = if voice.is_none() && they > 2 * (he + she) && they > 0 || they >= 1_000 {
        Some(Gender::They)
    } else if voice.is_some() && he.max(she) < 1_000_000 {
        None
    } else if he > she {
        Some(Gender::He)
    } else if she > he {
        Some(Gender::She)
    } else {
        names.gender
    };
    (gender, voice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny::english::page::blocks::blocks;

    #[test]
    fn the_pages_pronoun_and_full_name_are_learnt() {
        let profile = of(
            "Quill",
            &blocks(
                "Quill",
                "# Quill\n\nMarla Quill is a baker. She has a cat. Her cat is old.",
            ),
        );
        assert_eq!(
            (
                profile.names.gender,
                profile.full_name.as_deref(),
                profile.voice
            ),
            (Some(Gender::She), Some("Marla Quill"), None)
        );
    }

    #[test]
    fn a_page_may_speak_as_the_character_or_to_it() {
        assert_eq!(
            of("Alice", &blocks("Alice", "I am Alice. I play the guitar.")).voice,
            Some(Person::First)
        );
        assert_eq!(
            of(
                "Alice",
                &blocks("Alice", "You are Alice. You play your guitar.")
            )
            .voice,
            Some(Person::Second)
        );
    }
}
