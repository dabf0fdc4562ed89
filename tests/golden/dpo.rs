use apc::nn::{DecoderInput, Gemma};
use burn::tensor::{Int, Tensor, TensorData, activation};
use serde::Deserialize;

use super::adapter::{LAYERS, adapted, factor_gradients};
use super::{Golden, TOLERANCE, assert_close, device, folder, values};

/// Log-probs are sums over up to nine tokens and as large as 50, where two neighbours in f32 are 4e-6 apart; the largest
/// difference was two such steps.
const SUMMED: f64 = 3e-5;

#[derive(Deserialize)]
struct Dpo {
    beta: f64,
    loss: f64,
    accuracy: f64,
    pairs: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    prompt: Vec<i32>,
    chosen: Vec<i32>,
    rejected: Vec<i32>,
    reference_chosen: f64,
    reference_rejected: f64,
    policy_chosen: f64,
    policy_rejected: f64,
    reward_chosen: f64,
    reward_rejected: f64,
    margin: f64,
    loss: f64,
}

fn fixture() -> Dpo {
    let text = std::fs::read_to_string(folder("gemma-mqa").join("dpo.json"));
    serde_json::from_str(&text.expect("the fixture is there")).expect("the fixture is whole")
}

/// The sum of the log-probs of `targets`, each read off the logits at its place in `places`.
///
/// # Shapes
///
/// - logits: `[seq, vocab_size]`
fn log_prob(logits: Tensor<2>, places: Vec<i32>, targets: &[i32]) -> Tensor<1> {
    let count = targets.len();
    let places = Tensor::<1, Int>::from_data(TensorData::new(places, [count]), &device());
    let targets =
        Tensor::<2, Int>::from_data(TensorData::new(targets.to_vec(), [count, 1]), &device());
    activation::log_softmax(logits.select(0, places), 1)
        .gather(1, targets)
        .sum()
}

/// The log-probs of all chosen and of all rejected replies, each `[pairs]`, one sequence at a time.
fn one_by_one(model: &Gemma, pairs: &[Pair]) -> [Tensor<1>; 2] {
    [
        |pair: &Pair| pair.chosen.clone(),
        |pair: &Pair| pair.rejected.clone(),
    ]
    .map(|side| {
        let log_probs = pairs.iter().map(|pair| {
            let reply = side(pair);
            let ids = [pair.prompt.clone(), reply.clone()].concat();
            let logits = model.forward(DecoderInput::from_ids(&[ids], &device()));
            let places = (pair.prompt.len() as i32 - 1..).take(reply.len()).collect();
            log_prob(logits.squeeze_dim(0), places, &reply)
        });
        Tensor::cat(log_probs.collect(), 0)
    })
}

/// The same in one pass: both replies behind one prompt, the shorter rows padded on the left.
fn packed(model: &Gemma, pairs: &[Pair]) -> [Tensor<1>; 2] {
    let lens = |pair: &Pair| [&pair.prompt, &pair.chosen, &pair.rejected].map(Vec::len);
    let seq = pairs
        .iter()
        .map(|pair| lens(pair).iter().sum())
        .max()
        .unwrap_or(0);
    let padding = |pair: &Pair| seq - lens(pair).iter().sum::<usize>();
    let ids: Vec<_> = pairs
        .iter()
        .map(|pair| {
            [
                vec![0; padding(pair)],
                pair.prompt.clone(),
                pair.chosen.clone(),
                pair.rejected.clone(),
            ]
            .concat()
        })
        .collect();
    let segments: Vec<_> = pairs
        .iter()
        .map(|pair| {
            let [prompt, chosen, rejected] = lens(pair);
            [
                vec![0; padding(pair)],
                vec![1; prompt],
                vec![2; chosen],
                vec![3; rejected],
            ]
            .concat()
        })
        .collect();
    let logits = model.forward(DecoderInput::with_segments(&ids, &segments, &device()));
    let side = |rejected: bool| {
        let log_probs = pairs.iter().enumerate().map(|(row, pair)| {
            let logits: Tensor<2> = logits.clone().narrow(0, row, 1).squeeze_dim(0);
            let last = (padding(pair) + pair.prompt.len()) as i32 - 1; // the prompt's last token
            let (reply, start) = if rejected {
                (&pair.rejected, last + 1 + pair.chosen.len() as i32)
            } else {
                (&pair.chosen, last + 1)
            };
            let places = [last]
                .into_iter()
                .chain(start..)
                .take(reply.len())
                .collect();
            log_prob(logits, places, reply)
        });
        Tensor::cat(log_probs.collect(), 0)
    };
    [side(false), side(true)]
}

/// Both ways to the log-probs, by name.
type LogProbs = fn(&Gemma, &[Pair]) -> [Tensor<1>; 2];
const WAYS: [(&str, LogProbs); 2] = [("one by one", one_by_one), ("packed", packed)];

#[test]
fn the_log_probs_of_reference_and_policy_are_those_of_peft_alone_and_packed() {
    let (golden, policy) = (fixture(), adapted("gemma-mqa"));
    let reference = policy.without_lora();
    for (way, log_probs) in WAYS {
        let assert = |what: &str, got: Tensor<1>, of: fn(&Pair) -> f64| {
            let golden: Vec<_> = golden.pairs.iter().map(of).collect();
            assert_close(
                &format!("{way}: {what}"),
                &values(got.into_data()),
                &golden,
                SUMMED,
            );
        };
        let [chosen, rejected] = log_probs(&reference, &golden.pairs);
        assert("reference_chosen", chosen, |pair| pair.reference_chosen);
        assert("reference_rejected", rejected, |pair| {
            pair.reference_rejected
        });
        let [chosen, rejected] = log_probs(&policy, &golden.pairs);
        assert("policy_chosen", chosen, |pair| pair.policy_chosen);
        assert("policy_rejected", rejected, |pair| pair.policy_rejected);
    }
}

#[test]
fn the_loss_of_dpo_its_rewards_and_gradients_are_those_of_peft_alone_and_packed() {
    let (golden, policy) = (fixture(), adapted("gemma-mqa"));
    let gradients = Golden::open("gemma-mqa", "dpo.safetensors");
    let reference = policy.without_lora();
    for (way, log_probs) in WAYS {
        let assert = |what: &str, got: &Tensor<1>, of: fn(&Pair) -> f64| {
            let golden: Vec<_> = golden.pairs.iter().map(of).collect();
            let got = values(got.clone().into_data());
            assert_close(&format!("{way}: {what}"), &got, &golden, TOLERANCE);
        };
        let [reference_chosen, reference_rejected] = log_probs(&reference, &golden.pairs);
        let [policy_chosen, policy_rejected] = log_probs(&policy, &golden.pairs);
        let chosen = (policy_chosen - reference_chosen) * golden.beta;
        let rejected = (policy_rejected - reference_rejected) * golden.beta;
        let margin = chosen.clone() - rejected.clone();
        let losses = -activation::log_sigmoid(margin.clone());
        assert("reward_chosen", &chosen, |pair| pair.reward_chosen);
        assert("reward_rejected", &rejected, |pair| pair.reward_rejected);
        assert("margin", &margin, |pair| pair.margin);
        assert("losses", &losses, |pair| pair.loss);
        let accuracy = values(margin.greater_elem(0.0).int().float().mean().into_data());
        assert_close(
            &format!("{way}: accuracy"),
            &accuracy,
            &[golden.accuracy],
            1e-6,
        );

        let loss = losses.mean();
        let value = values(loss.clone().into_data());
        assert_close(&format!("{way}: loss"), &value, &[golden.loss], TOLERANCE);
        let got = factor_gradients(&policy, LAYERS, &loss.backward());
        assert_eq!(got.len(), gradients.names("dpo.grad.").count());
        for (factor, gradient) in got {
            gradients.assert_gradient(&format!("dpo.grad.{factor}"), &gradient);
        }
    }
}
