//! Verbs of `I`, `you` and `they` in the third person singular, where it is sure which words of a sentence they are.

use super::phrases;
use super::possessive::is_possessive;
use super::voice::first_verb;
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::lexicon;
use crate::tiny::english::words::tokens::{self, Token};
use crate::tiny::english::words::verbs::{self, BASE, ING, PARTICIPLE, PAST};

/// Adverbs behind which a verb comes, where a noun could come, too.
const BEFORE_VERBS: &str = "never often always also sometimes usually rarely hardly seldom then mostly still just even only now not longer";
/// Words that stand behind a verb and behind no noun.
const BEHIND_VERBS: &str = "a an the my your his her their its it him them me myself no nothing everything anything something everybody everyone \
    nobody to up down off away back";
/// Words that begin another clause.
const OTHERS: &str = "he she they we who which that whose whom what where when whenever because while although though if unless how why \
    whether";
/// Verbs that are nouns as often.
const NOUNS: &str = "dance work play drink walk dream cook paint travel garden fish water film train race love hate rest sleep talk study \
    sport plant share shop place stage star state test trade trust visit watch sail sketch ski hike joke knock label laugh lecture \
    mask master match mind model name need note offer order pack pass photograph plan plot polish practice praise print promise \
    question reward ride rule sample scare score search shape shelter smell smile smoke sound spot start step stop store stress \
    struggle supply support surprise swing taste tour trail treat trick try turn type use value view volunteer vote wait wash \
    waste whisper whistle wish wonder worry yell rent repair reply report rescue respect return review run act aim answer attack \
    balance ban base battle bake blame brew call care cause challenge change charge charm chat check claim climb comfort control copy \
    count cover craft cry cure cycle damage dare date debate delay demand design desire display dispute divorce doubt draft dress \
    end exchange experience face fear feature fight fill fix focus force form function gain guard guess guide hail help hit honour \
    hope host hug hunt influence interest jog joy judge jump kiss lack land lead lie light limit look lure march mark market \
    measure miss move murder neglect notice object paste pay pity pleasure point post present press pride pull punch purchase push \
    quarrel quote raid record regret release remark request respect rise roast sale salute scorn set show shower sign sip skate \
    spread stroll stay surf swim tackle talk tap tease thirst toil torment touch track transfer treasure trouble twist";

/// Those of them that no other noun follows.
const TRANSITIVE: &str = "play drink watch visit study plant wash repair help love hate call";

/// What a word behind `and` is.
enum Coordinated {
    Verb,
    Other,
    Unsure,
}

/// Puts the verbs of the subject at `at` into the third person singular; `None` where it is not sure which words these are.
pub(crate) fn verbs_in_third_person(tokens: &[Token], at: usize, out: &mut [Token]) -> Option<()> {
    let Some(verb) = verb_of(tokens, at)? else {
        return Some(());
    };
    out[verb].set(&singular(tokens, verb)?);
    // Whether base forms behind it may be infinitives, or somebody else's verbs.
    let is_modal =
        verbs::is_auxiliary(&tokens[verb].lower) && !is_form_of_be_or_have(&tokens[verb]);
    let mut governing = is_modal.then(|| past_adverbs(tokens, verb + 1));
    let mut other = false;
    let mut last = verb;
    for idx in verb + 1..tokens.len() {
        let token = &tokens[idx];
        if token.is_any(&[";", ".", ":", "i"]) {
            return Some(());
        }
        let is_base = |at: usize| {
            tokens
                .get(at)
                .is_some_and(|word| verbs::is_base(&word.lower))
        };
        let is_subject = token.is_any(&["it", "you"]) && is_base_or_third(tokens.get(idx + 1));
        // `helps people cook`
        let is_theirs = is_base(idx)
            && !token.is_any(&["like"])
            && (grammar::is_plural(&tokens[idx - 1].lower)
                || tokens[idx - 1].is_any(&["them", "him", "her"]));
        other |= token.is_in(OTHERS) || is_subject || is_theirs;
        // `to swim`, but not `drive to work`
        let next = past_adverbs(tokens, idx + 1);
        let is_infinitive = is_base(next) && !tokens[next].is_any(&["work", "sleep"]);
        if token.is("to") && (is_infinitive || tokens[idx - 1].is("going")) {
            governing = Some(next);
        }
        if !token.is_any(&["and", "&", "or", "but", "then", "yet", ","]) {
            continue;
        }
        let is_adjacent = idx == last + 1 && !token.is("but");
        match coordinated(tokens, idx, next, is_adjacent) {
            Coordinated::Other => {}
            // `wants to sing and dance`
            Coordinated::Verb | Coordinated::Unsure
                if governing == Some(idx - 1)
                    && is_base(next)
                    && !(token.is("and") && tokens[verb + 1].is("not"))
                    // `I don't drink, haven't for years`
                    && !(token.is(",") && tokens[next].is("have")) => {}
            Coordinated::Unsure => return None,
            Coordinated::Verb if tokens[next].is("am") => out[next].set("is"),
            Coordinated::Verb
                if singular(tokens, next).is_some_and(|verb| verb == tokens[next].lower) => {}
            Coordinated::Verb if governing.is_some() || other => return None,
            Coordinated::Verb => {
                out[next].set(&singular(tokens, next)?);
                last = next;
            }
        }
    }
    Some(())
}

/// Whether a verb is a noun as often, in the same form or with an `s`.
pub(crate) fn is_noun(token: &Token) -> bool {
    let base = verbs::known_base(&token.lower);
    base.is_some_and(|base| lexicon::has_word(NOUNS, base))
}

/// The verb of the subject at `at`, if it has one; `None` where it is not sure.
fn verb_of(tokens: &[Token], at: usize) -> Option<Option<usize>> {
    let verb = past_adverbs(tokens, at + 1);
    let Some(token) = tokens.get(verb) else {
        return Some(None);
    };
    if token.is(",") {
        return first_verb(tokens, at, true).map(Some);
    }
    if !token.is_word() {
        return Some(None);
    }
    let lower = token.lower.as_str();
    let is_verb = match verbs::known(lower) {
        Some((_, forms)) => forms & (BASE | PAST) != 0,
        None => {
            verbs::is_auxiliary(lower)
                || !token.is_capital() && (verbs::can_be(lower, PAST) || may_be_base(lower))
        }
    };
    is_verb.then_some(Some(verb))
}

/// The place behind the adverbs from `at`.
fn past_adverbs(tokens: &[Token], mut at: usize) -> usize {
    while let Some(token) = tokens.get(at) {
        let is_no_longer =
            token.is("no") && tokens.get(at + 1).is_some_and(|next| next.is("longer"));
        let is_skipped =
            verbs::is_adverb(&token.lower) || token.is_any(&["not", "myself", "yourself"]);
        match is_skipped || is_no_longer {
            true => at += 1 + usize::from(is_no_longer),
            false => break,
        }
    }
    at
}

/// Whether a word that is in no list may be a base form by its looks.
pub(crate) fn may_be_base(lower: &str) -> bool {
    let is_other_class = grammar::is_determiner(lower)
        || grammar::is_preposition(lower)
        || grammar::is_subordinator(lower)
        || grammar::is_adjective(lower)
        || tokens::is_stop(lower)
        || lexicon::is_common(lower)
        || verbs::can_be(lower, ING)
        || verbs::can_be(lower, PAST | PARTICIPLE);
    !is_other_class
        && !lower.ends_with(['s', '.'])
        && !lower.ends_with("ever")
        && lower.chars().all(char::is_alphabetic)
}

/// What the word at `next`, behind the coordinating word at `idx`, is.
fn coordinated(tokens: &[Token], idx: usize, next: usize, is_adjacent: bool) -> Coordinated {
    let Some(token) = tokens
        .get(next)
        .filter(|token| token.is_word() && !token.is_capital())
    else {
        return Coordinated::Other;
    };
    let lower = token.lower.as_str();
    if verbs::is_auxiliary(lower) {
        return Coordinated::Verb;
    }
    let after = tokens.get(next + 1);
    let takes_object =
        after.is_some_and(|after| after.is_in(BEHIND_VERBS) || is_possessive(tokens, next + 1));
    let is_behind_adverb = next > idx + 1 && tokens[next - 1].is_in(BEFORE_VERBS);
    let is_word = after.is_some_and(Token::is_word);
    let is_known_noun = lexicon::is_common(lower)
        && !grammar::is_adjective(lower)
        && !grammar::is_determiner(lower)
        && !grammar::is_preposition(lower)
        && !grammar::is_plural(lower);
    let ends_noun = after.is_some_and(|after| after.is_any(&["and", "or", "but", "of"]));
    let is_followed =
        is_word && !ends_noun && !after.is_some_and(|after| grammar::is_preposition(&after.lower));
    // `whatever the weather`, `mind you`
    let is_aside = tokens[idx].is(",")
        && (!is_adjacent && verbs::known(lower).is_none()
            || after.is_some_and(|after| after.is("you")));
    let is_list = tokens[next..]
        .iter()
        .take_while(|token| !token.is("i"))
        .any(|token| token.is_any(&["and", "or", "but"]));
    if is_aside {
        return Coordinated::Other;
    }
    match verbs::known(lower) {
        Some((_, forms)) if forms & BASE != 0 && tokens[idx].is(",") && !is_list => {
            Coordinated::Unsure
        }
        Some((_, forms)) if forms & BASE != 0 => {
            let has_noun =
                is_word && !after.is_some_and(|after| grammar::is_preposition(&after.lower));
            let may_be_noun = is_noun(token) && !(has_noun && token.is_in(TRANSITIVE)) || !is_word;
            match is_adjacent || is_behind_adverb || takes_object || !may_be_noun {
                true => Coordinated::Verb,
                false => Coordinated::Unsure,
            }
        }
        Some(_) => Coordinated::Other,
        // `wash, dry and fold`, `run a shop and iron shirts`
        None if is_adjacent && grammar::is_adjective(lower) => Coordinated::Unsure,
        None if is_known_noun && is_followed => Coordinated::Unsure,
        None if !may_be_base(lower) => Coordinated::Other,
        None if is_adjacent || takes_object || is_behind_adverb => Coordinated::Verb,
        // `tea and juice`, but `tea and crochet blankets`
        None if is_word && !ends_noun => Coordinated::Unsure,
        None => Coordinated::Other,
    }
}

/// The verb at `at` in the third person singular; `None` if it may as well tell of the past: `I quit`.
fn singular(tokens: &[Token], at: usize) -> Option<String> {
    let lower = tokens[at].lower.as_str();
    let tells_of_past = || {
        tokens.iter().any(|token| {
            let forms = verbs::known(&token.lower).map_or(0, |(_, forms)| forms);
            forms & PAST != 0 && forms & BASE == 0
                || phrases::is_year(token)
                || token.is_any(&["ago", "yesterday", "once"])
        }) || tokens
            .windows(2)
            .any(|pair| pair[0].is("last") && phrases::is_time(&pair[1]))
    };
    match verbs::known(lower) {
        Some((base, forms))
            if forms & BASE != 0
                && forms & PAST != 0
                && (tells_of_past() || !["read", "put", "set", "let"].contains(&base)) =>
        {
            None
        }
        Some((base, forms)) if forms & BASE != 0 && base == lower => Some(verbs::third(base)),
        Some(_) => Some(verbs::disagree(lower)),
        None if verbs::is_auxiliary(lower) || verbs::can_be(lower, PAST) => Some(lower.to_owned()),
        None => Some(verbs::third(lower)),
    }
}

fn is_form_of_be_or_have(token: &Token) -> bool {
    verbs::is_be(&token.lower) || token.is_any(&["have", "has", "had"])
}

fn is_base_or_third(token: Option<&Token>) -> bool {
    token.is_some_and(|token| {
        verbs::is_auxiliary(&token.lower)
            || verbs::known(&token.lower)
                .is_some_and(|(_, forms)| forms & (BASE | verbs::THIRD | PAST) != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny::english::words::tokens::{expand, join, tokenize};

    fn singular_of(text: &str) -> Option<String> {
        let tokens = expand(tokenize(text));
        let mut out = tokens.clone();
        let at = tokens.iter().position(|token| token.is("i"))?;
        verbs_in_third_person(&tokens, at, &mut out)?;
        Some(join(&out))
    }

    #[test]
    fn each_verb_of_the_subject_agrees() {
        for (text, expected) in [
            ("I dye my hair red.", "I dyes my hair red."),
            (
                "I go to Mass and play poker with Tom.",
                "I goes to Mass and plays poker with Tom.",
            ),
            (
                "I go to Mass and never play the organ.",
                "I goes to Mass and never plays the organ.",
            ),
            (
                "I make a pie and burn everything else.",
                "I makes a pie and burns everything else.",
            ),
            (
                "I sit in the cab and knit socks.",
                "I sits in the cab and knits socks.",
            ),
            (
                "I drive to work and keep hens.",
                "I drives to work and keeps hens.",
            ),
            (
                "I no longer smoke, but drink a little.",
                "I no longer smokes, but drinks a little.",
            ),
            ("I bake, sew and knit.", "I bakes, sews and knits."),
            ("I drink tea and juice.", "I drinks tea and juice."),
            (
                "I have saved money and am proud.",
                "I has saved money and is proud.",
            ),
            ("I left school and sang.", "I left school and sang."),
            ("I want to sing and dance.", "I wants to sing and dance."),
            ("I read letters.", "I reads letters."),
        ] {
            assert_eq!(singular_of(text).unwrap_or_default(), expected, "{text}");
        }
    }

    #[test]
    fn what_may_be_a_noun_or_another_s_verb_is_not_sure() {
        for text in [
            "I love music and dance.",
            "I like to cook fish and have two cats.",
            "I cannot swim and keep away from lakes.",
            "I know people who sing and play the flute.",
            "I help my sons cook and clean the house.",
            "I read the book that she wrote.",
            "I alone know it.",
        ] {
            assert_eq!(singular_of(text), None, "{text}");
        }
    }
}
