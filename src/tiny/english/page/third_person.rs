//! Pages that say `I` or `you`, put into the third person.

use super::blocks::has_finite_verb;
use crate::tiny::english::clause;
use crate::tiny::english::clause::case::is_nominative_name;
use crate::tiny::english::clause::inflection::{may_be_base, verbs_in_third_person};
use crate::tiny::english::clause::names::Names;
use crate::tiny::english::clause::voice::Person;
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::people::{self, Gender};
use crate::tiny::english::words::tokens::{Token, capitalized, join, tokenize};
use crate::tiny::english::words::verbs::{self, THIRD};
use crate::tiny::english::words::wording::genitive;

/// Whether a sentence is not put into the third person word by word: another's words in quotation marks, `nor do I`, `Myself, I …`.
pub(crate) fn is_no_plain_sentence(tokens: &[Token]) -> bool {
    let is_own = |token: &Token| token.is_any(&["i", "my", "me", "mine", "myself", "you", "your"]);
    let mut is_quoted = false;
    let quotes_own = tokens.iter().any(|token| {
        is_quoted ^= token.is("\"");
        is_quoted && is_own(token)
    });
    let is_inverted = tokens
        .windows(2)
        .any(|pair| verbs::is_auxiliary(&pair[0].lower) && pair[1].is_any(&["i", "you"]));
    let opens = tokens
        .first()
        .is_some_and(|first| first.is_any(&["myself", "yourself"]))
        || tokens.len() > 1 && tokens[0].is("me") && tokens[1].is(",");
    // `I'm not clever, I don't think` takes back what it says, so it cannot be put in other words.
    let is_hedge = |at: usize| {
        let words: Vec<&str> = tokens[at..].iter().map(|token| &token.lower[..]).collect();
        match &words[..] {
            [",", "i", "don't", "think", rest @ ..]
            | [",", "i", "do", "not", "think", rest @ ..] => {
                matches!(rest.first(), None | Some(&("," | ";" | "." | "!")))
            }
            _ => false,
        }
    };
    // `Ana told me: I am a fool.`
    let is_told = tokens
        .windows(2)
        .any(|pair| pair[0].is(":") && pair[1].is("i"));
    quotes_own || is_inverted || opens || is_told || (0..tokens.len()).any(is_hedge)
}

/// A sentence of the character's own, or one that says `you` to the character, in the third person; `None` where that is not sure.
pub(crate) fn to_third(tokens: &[Token], names: &Names, person: Person) -> Option<Vec<Token>> {
    let tokens = without_introduction(tokens, &names.character);
    let own = person.forms();
    if !tokens
        .iter()
        .any(|token| token.is_any(&own) || token.is("i"))
    {
        return Some(tokens);
    }
    // `I dunno`, `I gotta go`
    const LOOSE: &str = "dunno gotta wanna gonna gimme lemme kinda sorta ain't ai imma innit y'all tryna coulda woulda shoulda musta";
    if tokens.iter().any(|token| token.is_in(LOOSE)) {
        return None;
    }
    // `we`, the name beside `I`, and what is asked of the reader stay as they are.
    let is_shared = |token: &Token| token.is_any(&["we", "us", "our", "ours", "ourselves", "let"]);
    if tokens.iter().any(|token| token.me || is_shared(token)) || is_imperative(&tokens) {
        return None;
    }
    let gender = names.gender.unwrap_or(Gender::They);
    let [nominative, accusative, possessive, alone, reflexive] = gender.forms();
    let plural = gender == Gender::They;
    let mut out = tokens.to_vec();
    let mut named = false;
    for at in 0..tokens.len() {
        let before = at.checked_sub(1).map(|before| &tokens[before]);
        let word = match (person, tokens[at].lower.as_str()) {
            // `World War I`
            (Person::First, "i") if before.is_some_and(|word| at > 1 && word.is_capital()) => {
                return None;
            }
            // `Mum I see on Sundays`
            (Person::First, "i")
                if before.is_some_and(|word| people::is_person_word(&word.lower)) =>
            {
                return None;
            }
            (Person::First, "i") => nominative,
            (Person::First, "me") => accusative,
            (Person::First, "my") | (Person::Second, "your") => possessive,
            // `a coal mine`
            (Person::First, "mine")
                if !before.is_some_and(|word| word.is("of") || verbs::is_be(&word.lower)) =>
            {
                return None;
            }
            (Person::First, "mine") | (Person::Second, "yours") => alone,
            // `Themselves` of one person would sound like several.
            (Person::First, "myself") | (Person::Second, "yourself") if names.gender.is_none() => {
                return None;
            }
            (Person::First, "myself") | (Person::Second, "yourself") => reflexive,
            (Person::Second, "you") if is_nominative_name(&tokens, at) => nominative,
            // `When it rains, you zorb`
            (Person::Second, "you")
                if tokens
                    .get(at + 1)
                    .is_some_and(|next| may_be_base(&next.lower)) =>
            {
                return None;
            }
            (Person::Second, "you") => accusative,
            _ => continue,
        };
        let is_possessive = tokens[at].is_any(&["my", "your"]);
        let subject = word == nominative;
        let is_alone = tokens[at].is_any(&["mine", "yours"]);
        let name = (!named || (plural && (subject || word == accusative)))
            && word != reflexive
            && !is_alone;
        if subject {
            match n_joined(&tokens, at) {
                // So many words are a clause that was not understood, no second subject: `Mum's well and sends me a clock and I …`
                Some(n_words) if n_words > LONGEST_JOINT || begins_own_clause(&tokens, at) => {
                    return None;
                }
                Some(_) => {}
                None => verbs_in_third_person(&tokens, at, &mut out)?,
            }
        }
        // `Bridie Bridie`
        if name && before.is_some_and(|word| word.is_any(&["me", "you"])) {
            return None;
        }
        out[at].me = true;
        let text = match (name, is_possessive) {
            (false, _) => word.to_owned(),
            (true, true) => genitive(&names.character),
            (true, false) => names.character.clone(),
        };
        out[at].set(&text);
        named |= name;
    }
    if let Some(first) = out.first_mut() {
        first.text = capitalized(&first.text);
    }
    let split = out.into_iter();
    Some(
        split
            .flat_map(|token| split_genitive(token, &names.character))
            .collect(),
    )
}

/// Whether a sentence asks the reader to do something: `Scatter my ashes at sea`, but not `Fish makes me ill`.
pub(crate) fn is_imperative(tokens: &[Token]) -> bool {
    let is_finite = |token: &Token| {
        verbs::is_auxiliary(&token.lower)
            || verbs::known(&token.lower).is_some_and(|(_, forms)| forms & THIRD != 0)
    };
    tokens.len() > 1
        && verbs::is_base(&tokens[0].lower)
        && !grammar::is_preposition(&tokens[0].lower)
        && !is_finite(&tokens[1])
}

/// Whether a sentence to the character tells it what to do: `Speak politely.`, `Never break character.`
pub(crate) fn is_order(sentence: &str) -> bool {
    let tokens = tokenize(sentence);
    let n_adverbs = usize::from(
        tokens
            .first()
            .is_some_and(|first| first.is_any(&["never", "always", "please"])),
    );
    let is_negated = tokens
        .windows(2)
        .any(|pair| pair[0].is("do") && pair[1].is("n't"))
        && tokens.first().is_some_and(|first| first.is("do"));
    let is_own = |token: &Token| token.is_any(&["you", "your", "yours", "yourself"]);
    (is_imperative(&tokens[n_adverbs..]) || is_negated)
        && !tokens[0].me
        && !tokens.iter().take(2).any(is_own)
}

/// Whether `I` at this place is no last subject of several: `My dog's dead and I am sad`, `Either I win or I cheat`.
fn begins_own_clause(tokens: &[Token], at: usize) -> bool {
    tokens.get(at + 1).is_some_and(|next| next.is("am"))
        || tokens[..at].iter().any(|token| token.is("i"))
}

/// Words of the other subjects, at most: `my big sister Ann and I`.
const LONGEST_JOINT: usize = 4;

/// How many words stand before the last subject of several: `Tom and I share a flat`; none if it is the only one.
fn n_joined(tokens: &[Token], at: usize) -> Option<usize> {
    let and = at.checked_sub(1)?;
    let mark = tokens[..and].iter().rposition(|token| !token.is_word());
    let before = &tokens[mark.map_or(0, |mark| mark + 1)..and];
    let is_joined = tokens[and].is_any(&["and", "or", "nor"])
        && clause::parse(before).is_none()
        && !(and > 0 && (tokens[and - 1].is(",") || tokens[and - 1].is_number()));
    is_joined.then_some(before.len())
}

/// `I am Alice, a painter` as `I am a painter`; `My name is Zoe and I fix bicycles` as `I fix bicycles`.
fn without_introduction(tokens: &[Token], character: &str) -> Vec<Token> {
    let mut tokens = tokens.to_vec();
    // `Today I, Alice, went to the sea.`
    let apposed = tokens.windows(4).position(|words| {
        words[0].is_any(&["i", "you", "me"]) && words[1].is(",") && words[2].me && words[3].is(",")
    });
    if let Some(at) = apposed {
        tokens.drain(at + 1..at + 4);
    }
    let opening: Vec<&str> = tokens.iter().map(|token| token.lower.as_str()).collect();
    let name = match opening[..] {
        ["i", "am", ..] | ["you", "are", ..] => 2,
        ["my" | "your", "name", "is", ..] => 3,
        _ => return tokens,
    };
    let is_name = |token: &Token| token.me || token.text == character;
    if !tokens.get(name).is_some_and(is_name) {
        return tokens;
    }
    // `Gus Halloran`
    let more = tokens[name + 1..].iter();
    let name_end = name
        + more
            .take_while(|token| token.is_word() && token.is_capital())
            .count();
    let marks = tokens[name_end + 1..].iter();
    let marks = marks.take_while(|token| token.is_any(&[",", ";", "and"]));
    let rest = name_end + 1 + marks.count();
    let own = ["i", "my", "you", "your"];
    match tokens.get(rest) {
        Some(next) if rest > name_end + 1 && next.is_any(&own) => drop(tokens.drain(..rest)),
        // `I am Alice, who …`, `I am Alice, everyone calls me Al.`
        Some(next)
            if grammar::is_subordinator(&next.lower)
                || next.is_in("or but so nice")
                || !grammar::is_determiner(&next.lower)
                    && has_finite_verb(&join(&tokens[rest..])) => {}
        Some(_) if name == 2 && rest == name_end + 2 && tokens[name_end + 1].is(",") => {
            drop(tokens.drain(name..rest))
        }
        _ => {}
    }
    tokens
}

/// `Alice's` as the name and its ending.
fn split_genitive(token: Token, character: &str) -> Vec<Token> {
    match token
        .text
        .strip_prefix(character)
        .filter(|rest| token.me && rest.starts_with('\''))
    {
        Some(rest) => {
            let ending = Token::new(rest, false);
            let mut name = token.clone();
            name.set(character);
            vec![name, ending]
        }
        None => vec![token],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny::english::words::tokens::join;

    #[test]
    fn a_page_in_the_first_person_is_put_in_the_third() {
        let names = Names::new("Alice");
        let third = |text: &str, person| {
            join(&to_third(&names.tag_names(text), &names, person).unwrap_or_default())
        };
        assert_eq!(
            third("I am a painter and I have two cats.", Person::First),
            "Alice is a painter and she has two cats."
        );
        assert_eq!(
            third("today I, Alice, went to the sea.", Person::First),
            "Today Alice went to the sea."
        );
        assert_eq!(
            third("People tell me I look well.", Person::First),
            "People tell Alice she looks well."
        );
        let he = Names::new("Tom");
        let tokens = to_third(&he.tag_names("My mother taught me."), &he, Person::First);
        assert_eq!(
            join(&tokens.unwrap_or_default()),
            "Tom's mother taught him."
        );
        assert_eq!(
            third("My mother taught me to paint.", Person::First),
            "Alice's mother taught her to paint."
        );
        assert_eq!(
            third(
                "You live in Paris and often visit your sister.",
                Person::Second
            ),
            "Alice lives in Paris and often visits her sister."
        );
    }
}
