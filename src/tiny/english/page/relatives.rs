//! Fields about a relative below the relative's name: "Husband: Tom", then "Age: 44" on a page that tells the character's own age, too.

use std::collections::{BTreeMap, BTreeSet};

use crate::pattern::pattern;
use crate::tiny::english::words::lexicon::is_listed;
use crate::tiny::english::words::tokens::capitalized;
use crate::tiny::english::words::wording::genitive;

pattern!(
    FIELD,
    r"^([ \t]*(?:[-*•+][ \t]+)?(?:\*\*|__)?)(\p{Lu}[\p{L} -]{1,24}?)((?:\*\*|__)?:(?:\*\*|__)?[ \t]+(\S.*))$"
);

/// Fields that name a relative, a friend or a pet.
const RELATIVES: &str = "husband, wife, spouse, partner, fiancé, fiancée, fiance, fiancee, boyfriend, girlfriend, mother, father, \
    stepmother, stepfather, mum, mom, dad, sister, brother, sibling, stepsister, stepbrother, twin, child, son, daughter, aunt, uncle, \
    cousin, niece, nephew, grandmother, grandfather, grandson, granddaughter, friend, roommate, flatmate, \
    pet, dog, cat, horse, parrot";
/// Fields that a person has once, a row for each kind.
const OF_ONE: [&str; 15] = [
    "name, full name",
    "age",
    "born, birthday, birth date, date of birth",
    "birthplace, place of birth",
    "home, residence, lives in",
    "job, occupation, profession",
    "height",
    "weight",
    "hair",
    "eyes",
    "gender",
    "sex",
    "species, race",
    "nationality",
    "star sign, zodiac",
];
/// What stands before a relative.
const WHICH: &str = "older, elder, oldest, eldest, middle, big, younger, youngest, little, half, twin, late, former, ex, first, second, third, \
    current, adoptive, foster, best, old, childhood";

/// The kind of a field that a person has once ("occupation" and "job" are one kind); none for other fields.
fn of_one(key: &str) -> Option<&'static str> {
    OF_ONE.into_iter().find(|names| is_listed(names, key))
}

/// Whether a field names a relative: "brother", "older brother", "late mother-in-law".
pub(super) fn is_of_relative(key: &str) -> bool {
    let mut relative = key.strip_suffix("-in-law").unwrap_or(key);
    while let Some((which, behind)) = relative.split_once([' ', '-'])
        && is_listed(WHICH, which)
    {
        relative = behind;
    }
    is_listed(RELATIVES, relative)
}

/// What stands in place of a name where there is nobody.
const NOBODY: &str = "none, no, nobody, n/a, unknown, dead, deceased, -, –, —, ?";

/// Renames the fields directly below a relative's to "Husband's age" if one of them has a different value elsewhere in the section, which
/// is then the character's own. Otherwise all of them are taken for the character's.
pub(super) fn of_relatives(page: &str) -> String {
    let key = |line: &str| FIELD.captures(line).map(|found| found[2].to_lowercase());
    let value = |line: &str| {
        let found = FIELD.captures(line);
        found.map_or(String::new(), |found| found[4].trim().to_lowercase())
    };
    let lines: Vec<(&str, Option<String>)> = page.lines().map(|line| (line, key(line))).collect();
    // The values of a field in a section.
    let mut values: BTreeMap<(usize, &str), BTreeSet<String>> = BTreeMap::new();
    let mut sections = Vec::with_capacity(lines.len());
    let mut section = 0;
    for (line, key) in &lines {
        section += usize::from(line.starts_with(['#', '=']));
        sections.push(section);
        if let Some(key) = key {
            let kind = of_one(key).unwrap_or(key);
            let values = values.entry((section, kind)).or_default();
            values.insert(value(line));
        }
    }
    let indent = |line: &str| line.len() - line.trim_start().len();
    let is_twice_below = |place: usize| {
        let below = lines[place + 1..].iter();
        // Fields that are indented stand below the relative's already.
        let below = below.take_while(|(line, _)| indent(line) == indent(lines[place].0));
        let mut run = below.map_while(|(_, key)| of_one(key.as_deref()?));
        run.any(|kind| values[&(sections[place], kind)].len() > 1)
    };
    // Whose the fields are that follow.
    let mut whose: Option<(String, usize)> = None;
    let mut out: Vec<String> = Vec::with_capacity(lines.len());
    for (place, (line, key)) in lines.iter().enumerate() {
        let key = key.as_deref();
        if let (Some((whose, of_whose)), Some(key)) =
            (&whose, key.filter(|key| of_one(key).is_some()))
            && indent(line) == *of_whose
        {
            let renamed = format!("${{1}}{whose} {key}${{3}}");
            out.push(FIELD.replace(line, renamed).into_owned());
            continue;
        }
        let is_somebody = |key: &&str| is_of_relative(key) && !is_listed(NOBODY, &value(line));
        let relative = key.filter(|key| is_somebody(key) && is_twice_below(place));
        whose = relative.map(|relative| (genitive(&capitalized(relative)), indent(line)));
        out.push(line.to_string());
    }
    let end = if page.ends_with('\n') { "\n" } else { "" };
    out.join("\n") + end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny::english::statements;

    #[test]
    fn what_the_page_has_twice_is_the_relatives_below_the_relatives_name() {
        for (page, expected) in [
            (
                "Age: 31\nHusband: Tom\n- **Age:** 44\nJob: plumber\nLikes: figs\n\nSister: Ada\nHeight: 170 cm\n",
                "Age: 31\nHusband: Tom\n- **Husband's age:** 44\nHusband's job: plumber\nLikes: figs\n\nSister: Ada\nHeight: 170 cm\n",
            ),
            (
                "Brother: Bob\nAge: 20\nFiancée: Ada\nAge: 22",
                "Brother: Bob\nBrother's age: 20\nFiancée: Ada\nFiancée's age: 22",
            ),
            (
                "Occupation: vet\nOlder brother: Bob\nJob: cook",
                "Occupation: vet\nOlder brother: Bob\nOlder brother's job: cook",
            ),
            (
                "Name: Cora\nHome: Leeds\nLate second mother-in-law: yes\nName: Ruth\nHome: Bath\n\nAge: 9\nCat: yes\nAge: 3",
                "Name: Cora\nHome: Leeds\nLate second mother-in-law: yes\nLate second mother-in-law's name: Ruth\n\
                 Late second mother-in-law's home: Bath\n\nAge: 9\nCat: yes\nCat's age: 3",
            ),
        ] {
            assert_eq!(of_relatives(page), expected);
        }
        let found = statements("Cora", "Age: 31\nHusband: Tom\nAge: 44\n");
        let expected = [
            "Cora is 31 years old.",
            "Cora's husband is Tom.",
            "Cora – Husband's age: 44.",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_field_that_comes_once_is_the_characters() {
        for page in [
            "Name: Cora\nHusband: Tom\nAge: 31\nJob: vet",
            "Age: 31\nHusband: Tom\n\nAge: about thirty",
            "Age: 31\nHusband: Tom\nLikes: figs\nAge: 44",
            "Age: 31\nHusband: none\nAge: 44",
            "Age: 20\nLives with mother: yes\nAge: 17",
            "Sex: F\nPartner: Ann\nGender: female",
            "- Age: 31\n- Husband: Tom\n  - Age: 44",
            "Age: 31\nMother: Ruth\nHeight: 170 cm\nAge: 31",
            "## As a child\nHair: red\nMother: Ruth\n## Now\nMother: Ruth\nHair: grey\nJob: vet",
        ] {
            assert_eq!(of_relatives(page), page);
        }
    }
}
