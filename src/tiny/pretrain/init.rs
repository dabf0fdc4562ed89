//! Weights to begin with, so that a small model need not find out from data that it must compare and copy.

use burn::tensor::{Device, Distribution, Tensor, TensorData};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::nn::{Gemma, GemmaConfig, Weight, WeightMut, Weights};

/// Heads of the first layer that look at the token before, and heads of the second that look for what came after it.
const COPYING_HEADS: usize = 2;
/// The fastest pairs of rotary dimensions, which tell a token from its neighbours.
const FAST_PAIRS: usize = 6;
/// The score, before the softmax, of the token before against its neighbours, and of the same token against others.
const SCORE: f64 = 6.0;

/// Starts a Gemma with induction heads (arXiv 2209.11895): "what came after this token the last time comes now".
///
/// Two heads of the first layer attend to the token before, by its position alone. Two of the second then find the
/// tokens whose predecessor is the token at hand, and copy them to the output. Everything else stays random, and
/// training is free to change it all.
pub(super) fn induction_heads(gemma: &mut Gemma, config: &GemmaConfig, seed: u64, device: &Device) {
    // Random numbers of its own: whoever else draws from the device's meanwhile changes nothing here.
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (hidden, head_dim) = (config.hidden_size, config.head_dim);
    let rows = COPYING_HEADS * head_dim;
    let unit = (hidden as f64).powf(-0.5); // keeps the size of what it projects
    let mut random = |shape: [usize; 2]| {
        let values =
            TensorData::random::<f32, _, _>(shape, Distribution::Normal(0.0, unit), &mut rng);
        Tensor::<2>::from_data(values, device)
    };
    let centred = |x: Tensor<2>| x.clone() - x.mean_dim(1);

    // All embeddings share one direction, of which position heads make their queries and keys.
    let half = head_dim / 2;
    let theta = config.rope_parameters.rope_theta;
    let angle = |pair: usize| theta.powf(-(pair as f64) / half as f64);
    let fall: f64 = (0..FAST_PAIRS).map(|pair| 1.0 - angle(pair).cos()).sum();
    // Half of a normalized embedding's square is the shared direction.
    let gain = (2.0 * SCORE / fall * (head_dim as f64).sqrt()).sqrt() / hidden as f64;
    let position = |offset: f64| {
        let mut values = vec![0.0_f32; head_dim];
        for pair in 0..FAST_PAIRS {
            values[pair] = (gain * (offset * angle(pair)).cos()) as f32;
            values[pair + half] = (gain * (offset * angle(pair)).sin()) as f32;
        }
        Tensor::<2>::from_data(TensorData::new(values, [head_dim, 1]), device)
            .repeat(&[COPYING_HEADS, hidden])
    };
    let value_before = centred(random([rows, hidden]));
    let output_before = random([hidden, rows]) * 0.5;
    let before = output_before.clone().matmul(value_before.clone()); // [hidden, hidden]

    // Matching uses the slow pairs, which a distance of a hundred tokens turns little.
    let slow: Vec<f32> = (0..rows)
        .map(|row| f32::from(u8::from(row % half >= half / 2)))
        .collect();
    let slow = Tensor::<2>::from_data(TensorData::new(slow, [rows, 1]), device);
    let query = centred(random([rows, hidden])) * slow;
    let key = query.clone().matmul(before.clone().transpose());
    // The mean of zᵀ·Qᵀ·K·B·z over random z is the trace of Qᵀ·K·B.
    let match_score = (query.clone() * key.clone().matmul(before))
        .sum()
        .into_scalar::<f64>()
        / COPYING_HEADS as f64
        / (head_dim as f64).sqrt();
    let key = key * (SCORE / match_score);
    let value = centred(random([rows, hidden]));
    let output = value.clone().transpose();

    replace(gemma, &mut |name, weight| {
        let part = match name.strip_prefix("model.").unwrap_or(name) {
            "embed_tokens.weight" => return Some(weight.clone() + config.initializer_range),
            "layers.0.self_attn.q_proj.weight" => position(0.0),
            "layers.0.self_attn.k_proj.weight" => position(1.0),
            "layers.0.self_attn.v_proj.weight" => value_before.clone(),
            "layers.0.self_attn.o_proj.weight" => output_before.clone(),
            "layers.1.self_attn.q_proj.weight" => query.clone(),
            "layers.1.self_attn.k_proj.weight" => key.clone(),
            "layers.1.self_attn.v_proj.weight" => value.clone(),
            "layers.1.self_attn.o_proj.weight" => output.clone(),
            _ => return None,
        };
        let [rows, columns] = part.dims();
        Some(weight.clone().slice_assign([0..rows, 0..columns], part))
    });
}

/// Replaces the matrices for which `with` has another.
fn replace(model: &mut impl Weights, with: &mut dyn FnMut(&str, &Tensor<2>) -> Option<Tensor<2>>) {
    model.weights("", &mut |name, weight| {
        if let WeightMut::Matrix(weight) = weight
            && let Some(value) = with(name, &weight.val().without_autodiff())
        {
            *weight = Weight::frozen(value);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::DecoderInput;

    #[test]
    fn an_untrained_gemma_with_induction_heads_goes_on_as_the_text_went_on_before() {
        let device = Device::flex();
        device.seed(2);
        let config = GemmaConfig::gemma_2b()
            .with_vocab_size(500)
            .with_hidden_size(192)
            .with_intermediate_size(64)
            .with_num_hidden_layers(2)
            .with_num_attention_heads(4)
            .with_num_key_value_heads(4)
            .with_head_dim(48);
        let mut gemma = config.init(&device);
        let ids: Vec<i32> = (0..60).map(|i| (i * 37 + 11) % 500).collect();
        let again = [&ids[..], &ids[..30]].concat();
        // How many tokens the model holds for likelier than the right one, on average.
        let rank = |gemma: &Gemma| {
            let input = DecoderInput::from_ids(std::slice::from_ref(&again), &device);
            let logits: Vec<f32> = gemma.forward(input).into_data().try_to_vec().unwrap();
            let rows: Vec<&[f32]> = logits.chunks(500).collect();
            let likelier = |i: usize| {
                let right = rows[i][again[i + 1] as usize];
                rows[i].iter().filter(|&&logit| logit > right).count()
            };
            (60..89).map(likelier).sum::<usize>() / 29
        };
        let random = rank(&gemma);
        induction_heads(&mut gemma, &config, 2, &device);
        let copying = rank(&gemma);
        // Of 249 at random; the rest of the weights is drawn from the device, as other tests do meanwhile.
        assert!(copying + 30 < random, "{random}, {copying}");
    }
}
