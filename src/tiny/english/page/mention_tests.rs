//! Who is meant: others with the character's name, pronouns behind somebody without a name, pages that never name the character.

use super::tests::{check, check_after_prose};

#[test]
fn whoever_shares_a_name_with_the_character_is_somebody_else() {
    check_after_prose(
        "She admires Alice Walker. Alice Walker lives in Utah. Aunt Alice bakes for Captain Alice.\n\n\
         ## Relationships\n- Alice Walker: idol",
        &[
            "Alice admires Alice Walker.",
            "Alice – Alice Walker lives in Utah.",
            "Aunt Alice bakes for Captain Alice.",
            "Alice – Alice Walker: idol.",
        ],
        &[],
    );
    check(
        "Mark",
        "# Mark Reed\n\nMark is a smith. His son, Mark Jr., is five. Mark Jr. loves trains.\n\nReed swims every day. John Reed, his father, is dead.",
        &[
            "Mark's full name is Mark Reed.",
            "Mark is a smith.",
            "Mark's son, Mark Jr., is five.",
            "Mark – Mark Jr. loves trains.",
            "Mark swims every day.",
            "John Reed, Mark's father, is dead.",
        ],
        &[],
    );
}

#[test]
fn a_pronoun_behind_somebody_without_a_name_is_not_the_characters() {
    for (page, expected) in [
        (
            "His landlord is deaf. He shouts.",
            ["Tom's landlord is deaf.", "Tom – He shouts."],
        ),
        (
            "His dog limps. He is nine.",
            ["Tom's dog limps.", "Tom – He is nine."],
        ),
        (
            "The fox next door is old. He steals.",
            ["Tom – The fox next door is old.", "Tom – He steals."],
        ),
        (
            "His computer is old. He repairs it himself.",
            ["Tom's computer is old.", "Tom repairs it himself."],
        ),
        (
            "He has eleven workers. He pays them well.",
            ["Tom has eleven workers.", "Tom pays them well."],
        ),
        (
            "His abbot keeps him humble. He makes him scrub pots.",
            [
                "Tom's abbot keeps him humble.",
                "Tom – He makes him scrub pots.",
            ],
        ),
        (
            "His mother is Korean. He is tall.",
            ["Tom's mother is Korean.", "Tom is tall."],
        ),
    ] {
        let page = format!("Tom is a smith. He sings.\n\n{page}");
        let known = ["Tom is a smith.", "Tom sings."];
        check("Tom", &page, &[&known[..], &expected[..]].concat(), &[]);
    }
}

#[test]
fn the_owner_of_a_subject_is_named_also_where_the_name_comes_later() {
    check_after_prose(
        "Her mother, Ruth, died when Alice was ten.\n\nHe owes Alice money.\n\nHer he trusts.",
        &[
            "Alice's mother, Ruth, died when Alice was ten.",
            "Alice – He owes Alice money.",
            "Alice – Her he trusts.",
        ],
        &[],
    );
}

#[test]
fn a_page_need_not_name_the_character() {
    check(
        "Kim",
        "He is a welder. His sister is a vet.",
        &["Kim is a welder.", "Kim's sister is a vet."],
        &[],
    );
    check(
        "Kim",
        "I weld. My sister is a vet, and I dunno why.",
        &[
            "Kim – I weld.",
            "Kim – My sister is a vet, and I dunno why.",
        ],
        &[],
    );
    check(
        "Finn",
        "finn is 17 and works at a shop. he's scared of dogs. his band is loud, and everyone knows it. he likes the sea.",
        &[
            "Finn is 17 and works at a shop.",
            "Finn is scared of dogs.",
            "Finn's band is loud, and everyone knows it.",
            "Finn likes the sea.",
        ],
        &[],
    );
}

#[test]
fn a_question_is_kept_with_the_answer_that_needs_it() {
    check_after_prose(
        "Favourite film? Alien. Does she dance? Never. Who needs sleep? She works all night. She can't swim, can she?",
        &[
            "Alice's favourite film is Alien.",
            "Alice – Does she dance? Never.",
            "Alice works all night.",
            "Alice can't swim, can she?",
        ],
        &["Who needs sleep?"],
    );
    check(
        "Sam",
        "GQ: How do you train?\nSam: Badly. I run.\nGQ: Any children?\nSam: Two. They live in Cardiff.\n\
         GQ: Where do you work?\nSam: I work in a garden.",
        &[
            "Sam – How do you train? Badly. I run.",
            "Sam – Any children? Two. They live in Cardiff.",
            "Sam works in a garden.",
        ],
        &["Where do you work?"],
    );
    check_after_prose(
        "**Pets?**\nA cat.\n\n**Does she smoke?**\nOnly at night.",
        &[
            "Alice – Pets? A cat.",
            "Alice – Does she smoke? Only at night.",
        ],
        &[],
    );
}

#[test]
fn what_describes_the_page_is_told_from_the_character() {
    check_after_prose(
        "Creator's note: be nice!\nalice.jpg\nTitle: Queen of Utah\nTitle: A quiet life\n\n## External links\n* [https://x.org Her site]",
        &["Alice is Queen of Utah.", "Alice – Title: A quiet life."],
        &["Creator's note: be nice!", "Her site", "alice.jpg"],
    );
    check(
        "Alice",
        "You are Alice. You live in Bonn. You love tea. Speak politely. Never break character.",
        &["Alice lives in Bonn.", "Alice loves tea."],
        &[
            "You are Alice.",
            "Speak politely.",
            "Never break character.",
        ],
    );
}
