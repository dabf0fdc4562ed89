//! `Field: text` lines as whole sentences about the character.

use super::clause;
use super::names::{self, Gender, Names};
use super::page;
use super::tokens::{Token, join, tokenize};
use super::verbs::{self, PAST, THIRD};

/// The sentences a field stands for, each naming the character or using a pronoun for it.
pub(super) fn sentences(names: &Names, field: &str, text: &str) -> Vec<String> {
    let key = field.to_lowercase();
    if matches!(key.as_str(), "quote" | "quotes" | "source" | "sources" | "references" | "image" | "caption" | "see also" | "pronouns" | "tags" | "links") {
        return Vec::new();
    }
    let mut sentences = Vec::new();
    for part in page::sentences(text) {
        let bare = part.trim_end_matches(['.', ';', ',', '!']).trim();
        let template = sentences.is_empty();
        if bare.is_empty() {
            continue;
        }
        if is_sentence(names, &part) {
            sentences.push(of_relative(names, &key, &part));
        } else if let Some(sentence) = from_predicate(names, bare) {
            sentences.push(sentence);
        } else if template && let Some(sentence) = from_template(names, field.trim(), &key, bare) {
            sentences.push(sentence);
        }
    }
    sentences
}

/// Whether the text has a subject and a finite verb.
fn is_sentence(names: &Names, text: &str) -> bool {
    let tokens = names.tag_names(text);
    let Some(clause) = clause::parse(&tokens) else { return false };
    let pronoun = tokens[clause.start].is_any(&["he", "she", "they", "it", "i", "you", "we", "her", "his", "their", "my", "your", "this", "these", "the"]);
    let verb = &tokens[clause.verb].lower;
    tokens[clause.start].me || pronoun || verbs::is_auxiliary(verb) || (verbs::known(verb).is_some() && text.ends_with('.'))
}

/// In a field on a relative, a pronoun that opens the sentence means the relative.
fn of_relative(names: &Names, key: &str, sentence: &str) -> String {
    let mut tokens = tokenize(sentence);
    let gender = Gender::of_word(key);
    let person = gender.is_some() || (names::is_person_word(key) && !clause::is_plural(key) && !names::is_job(key));
    if person && let Some(first) = tokens.first_mut() {
        let nominative = Gender::of_pronoun(&first.lower).filter(|&shown| gender.is_none_or(|gender| gender == shown));
        if nominative.is_some_and(|shown| first.is(shown.forms()[0])) {
            first.text = format!("{} {key}", genitive(&names.character));
            return join(&tokens);
        }
    }
    sentence.to_owned()
}

/// `Plays the guitar`, `Born in Bonn`, `A loyal friend`, `Brave and loyal`: the subject is added.
fn from_predicate(names: &Names, text: &str) -> Option<String> {
    let tokens = tokenize(text);
    let first = tokens.first()?;
    let name = &names.character;
    if tokens.len() < 2 {
        return None;
    }
    if first.is_any(&["born", "raised", "trained", "married", "known", "adopted"]) {
        return Some(format!("{name} was {}.", decapitalized(&tokens)));
    }
    let forms = verbs::known(&first.lower).map_or(0, |(_, forms)| forms);
    let second = &tokens[1];
    let object = second.is_any(&["to", "in", "on", "at", "with", "for", "as", "from", "about", "by"]) || clause::is_determiner(&second.lower) || verbs::is_adverb(&second.lower);
    let finite = verbs::is_auxiliary(&first.lower) || (forms & THIRD != 0 && !second.is_any(&["and", ","])) || (forms & PAST != 0 && object);
    if finite && first.is_capital() && !first.is_any(&["do", "can", "may", "might", "must", "will"]) {
        return Some(format!("{name} {}.", decapitalized(&tokens)));
    }
    None
}

fn from_template(names: &Names, field: &str, key: &str, text: &str) -> Option<String> {
    let name = &names.character;
    let tokens = tokenize(text);
    let low = decapitalized(&tokens);
    let noun = with_article(&tokens, &low);
    let number: Option<&str> = tokens.first().filter(|token| token.is_number()).map(|token| token.text.as_str());
    let has_in = tokens[0].is_any(&["in", "at", "on", "near", "with", "from", "around", "before", "about", "to"]);
    let prefixed = |preposition: &str| if has_in { low.clone() } else { format!("{preposition} {low}") };
    let dated = tokens.iter().any(|token| names::Gender::of_word(&token.lower).is_none() && is_month(&token.lower)) && tokens.iter().any(|token| token.is_number() && token.text.len() <= 2);
    let sentence = match key {
        "name" | "full name" | "real name" | "birth name" => format!("{} {key} is {text}.", genitive(name)),
        "age" => match number {
            Some(age) if tokens.len() <= 3 => format!("{name} is {age} years old."),
            _ => format!("{} age is {low}.", genitive(name)),
        },
        "gender" | "sex" => match text.to_lowercase().as_str() {
            "female" | "woman" | "f" => format!("{name} is a woman."),
            "male" | "man" | "m" => format!("{name} is a man."),
            "girl" | "boy" => format!("{name} is a {low}."),
            _ => format!("{name} is {low}."),
        },
        "born" | "birthday" | "birth date" | "date of birth" | "birthdate" | "birth" => format!("{name} was born {}.", prefixed(if dated { "on" } else { "in" })),
        "birthplace" | "place of birth" | "birth place" => format!("{name} was born {}.", prefixed("in")),
        "died" | "death" | "date of death" => format!("{name} died {}.", prefixed(if dated { "on" } else { "in" })),
        "hometown" | "origin" | "from" | "home town" | "country" => format!("{name} comes {}.", if has_in { low.clone() } else { format!("from {low}") }),
        "residence" | "lives in" | "home" | "location" | "lives" | "city" | "address" => format!("{name} lives {}.", prefixed("in")),
        "occupation" | "job" | "profession" | "species" | "race" | "title" | "role" | "position" | "class" | "work" | "career" if tokens.len() <= 14 => format!("{name} is {noun}."),
        "nationality" | "ethnicity" | "sexuality" | "orientation" | "marital status" | "status" | "religion" | "faith" if tokens.len() <= 6 && !key.starts_with("religion") => format!("{name} is {low}."),
        "eyes" | "hair" | "skin" => format!("{name} has {low} {key}."),
        "eye color" | "eye colour" => format!("{name} has {low} eyes."),
        "hair color" | "hair colour" => format!("{name} has {low} hair."),
        "likes" | "loves" | "dislikes" | "hates" | "enjoys" | "fears" | "wants" | "speaks" | "plays" | "studies" | "owns" | "wears" | "collects" | "drives" | "teaches" => format!("{name} {key} {low}."),
        "works as" | "works at" | "works for" | "known as" | "known for" | "married to" | "afraid of" | "allergic to" | "lives with" => {
            let verb = if key.starts_with("works") || key.starts_with("lives") { "" } else { "is " };
            format!("{name} {verb}{key} {}.", if key == "works as" { noun } else { low })
        }
        "languages" | "language" | "spoken languages" => format!("{name} speaks {text}."),
        "education" | "school" | "university" if !has_in && !tokens[0].is_any(&["a", "an"]) => format!("{name} studied at {text}."),
        "height" if number.is_some() => format!("{name} is {low} tall."),
        "instrument" | "instruments" => format!("{name} plays {low}."),
        "pets" | "pet" | "siblings" | "children" => format!("{name} has {noun}."),
        "fear" | "phobia" | "phobias" if !verbs::can_be(&tokens[0].lower, PAST) => format!("{name} is afraid of {low}."),
        _ if is_describing(key) && all_adjectives(&tokens) => format!("{name} is {low}."),
        _ => return generic(names, field, &tokens, &low),
    };
    Some(sentence)
}

/// `Alice's <field> is/are <text>.`
fn generic(names: &Names, field: &str, tokens: &[Token], low: &str) -> Option<String> {
    let field_tokens = tokenize(field);
    if field_tokens.first().is_some_and(|first| first.text == names.character) {
        return Some(format!("{} is {}.", names.character, with_article(tokens, low)));
    }
    let head = field_tokens.iter().take_while(|token| !clause::is_preposition(&token.lower)).last()?;
    let verbal = verbs::known(&field_tokens[0].lower).is_some_and(|(_, forms)| forms & THIRD != 0) && !clause::is_plural(&field_tokens[0].lower);
    if verbal || tokens.is_empty() {
        return None;
    }
    let plural = clause::is_plural(&head.lower) || head.is("hobbies");
    let field: String = join(&field_tokens.iter().map(|token| if is_acronym(&token.text) { token.clone() } else { Token::new(&token.lower, token.space) }).collect::<Vec<_>>());
    Some(format!("{} {field} {} {low}.", genitive(&names.character), if plural { "are" } else { "is" }))
}

fn is_describing(key: &str) -> bool {
    matches!(key, "personality" | "traits" | "character" | "personality traits" | "temperament" | "attitude" | "description" | "nature" | "characteristics" | "appearance" | "demeanor" | "demeanour" | "mood" | "looks" | "build")
}

fn all_adjectives(tokens: &[Token]) -> bool {
    let words: Vec<&Token> = tokens.iter().filter(|token| token.is_word()).collect();
    let noun = words.iter().any(|token| clause::is_plural(&token.lower) || (clause::is_determiner(&token.lower)) || clause::is_preposition(&token.lower));
    let listed = words.len() == 1 || tokens.iter().any(|token| token.is_any(&[",", "and", "but"])) || clause::is_adjective(&words[words.len() - 1].lower);
    !noun && listed
}

fn is_month(lower: &str) -> bool {
    matches!(lower, "january" | "february" | "march" | "april" | "may" | "june" | "july" | "august" | "september" | "october" | "november" | "december")
}

fn is_acronym(text: &str) -> bool {
    text.chars().filter(|c| c.is_uppercase()).count() > 1
}

/// `Alice's`, `Agnes'`.
pub(super) fn genitive(name: &str) -> String {
    if name.ends_with('s') { format!("{name}'") } else { format!("{name}'s") }
}

fn with_article(tokens: &[Token], low: &str) -> String {
    let Some(first) = tokens.first() else { return low.to_owned() };
    let head = tokens.iter().take_while(|token| !clause::is_preposition(&token.lower) && !token.is(",") && !token.is("and")).last();
    let plural = head.is_some_and(|head| clause::is_plural(&head.lower) && !names::is_job(&head.lower));
    if clause::is_determiner(&first.lower) || plural || first.is_number() || first.is("none") {
        return low.to_owned();
    }
    format!("{} {low}", article(low))
}

/// `a` or `an`.
pub(super) fn article(word: &str) -> &'static str {
    let lower = word.to_lowercase();
    let an = lower.starts_with(['a', 'e', 'i', 'o']) || lower.starts_with("hour") || lower.starts_with("honest") || lower.starts_with("heir");
    let un = lower.starts_with('u') && !["uni", "use", "usu", "eu", "ute", "uk"].iter().any(|start| lower.starts_with(start));
    let no = lower.starts_with("one") || lower.starts_with("eu");
    if (an || un) && !no { "an" } else { "a" }
}

/// The text with a small first letter, when that is an ordinary word.
fn decapitalized(tokens: &[Token]) -> String {
    let mut tokens = tokens.to_vec();
    if let Some(first) = tokens.first_mut() {
        let common = clause::is_determiner(&first.lower) || clause::is_intro_word(&first.lower) || clause::is_adjective(&first.lower) || verbs::known(&first.lower).is_some() || super::tokens::is_stop(&first.lower) || super::lexicon::is_common(&first.lower);
        let followed = tokens.get(1).is_some_and(|next| next.is_capital() && next.space);
        let first = &mut tokens[0];
        let proper = is_acronym(&first.text) || Gender::of_word(&first.lower).is_some() || first.is("i");
        if common || (!proper && !followed && !is_proper(&first.lower)) {
            let lower = first.lower.clone();
            first.text = lower;
        }
    }
    join(&tokens)
}

fn is_proper(lower: &str) -> bool {
    super::lexicon::is_proper(lower) || ["ish", "ese", "ian", "land"].iter().any(|end| lower.len() > 5 && lower.ends_with(end)) && !super::lexicon::is_common(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(field: &str, text: &str, expected: &[&str]) {
        assert_eq!(sentences(&Names::new("Alice"), field, text), expected);
    }

    #[test]
    fn known_fields_have_their_own_wording() {
        check("Age", "26", &["Alice is 26 years old."]);
        check("Occupation", "Engineer", &["Alice is an engineer."]);
        check("Hair", "Long and red", &["Alice has long and red hair."]);
        check("Birthday", "3 May 1990", &["Alice was born on 3 May 1990."]);
        check("Personality", "Introverted, loyal", &["Alice is introverted, loyal."]);
        check("Languages", "French and German", &["Alice speaks French and German."]);
    }

    #[test]
    fn unknown_fields_name_themselves() {
        check("Hobbies", "Painting, chess and hiking", &["Alice's hobbies are painting, chess and hiking."]);
        check("Favourite food", "Pizza", &["Alice's favourite food is pizza."]);
        check("Mother", "Anna", &["Alice's mother is Anna."]);
    }

    #[test]
    fn sentences_after_the_colon_stay() {
        check("Talent", "She plays the violin. Sings well.", &["She plays the violin.", "Alice sings well."]);
        check("Mother", "She is a nurse.", &["Alice's mother is a nurse."]);
    }
}
