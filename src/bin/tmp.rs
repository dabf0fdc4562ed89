//! tmp
use apc::pretrain::*; use rand_chacha::ChaCha8Rng; use rand::SeedableRng;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    match a[1].as_str() {
        "lang" => { let mut rng = ChaCha8Rng::seed_from_u64(a[2].parse().unwrap()); for _ in 0..12 { let (p, r) = language_example(&mut rng); println!("{p}{r}\n-----"); } }
        "nli" => { let mut rng = ChaCha8Rng::seed_from_u64(a[2].parse().unwrap()); for _ in 0..70 { let e = nli_example(&mut rng); print!("{} {}", ["CON","neu","ent"][e.label], e.text); for c in &e.changed { print!("   ^[{}]", &e.text[c.clone()]); } println!(); } }
        "rel" => { let mut rng = ChaCha8Rng::seed_from_u64(a[2].parse().unwrap()); for _ in 0..40 { let e = relevance_example(&mut rng); println!("{} {}", e.label, e.text); } }
        _ => {}
    }
}
