"""DeepSeek-V2 and V3 in numpy, float64, written from the papers (arXiv 2405.04434, 2.1; 2412.19437, 2.1; YaRN:
2309.00071): slow, obvious, without a cache, attention not absorbed. It judges the engine where transformers leaves
something open (ties) or has been wrong (m², masked groups).

    logits = reference_deepseek.forward(config, tensors, tokens)   # Hugging Face's config.json and tensor names
"""
import math

import numpy as np


def rms_norm(x, weight, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def silu(x):
    return x / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def mscale(factor, weight):
    return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1


def yarn_frequencies(dim, theta, scaling):
    """YaRN, 3.2: pairs that turn often keep their frequency, slow ones are divided, a linear ramp between."""
    frequency = theta ** (-np.arange(0, dim, 2) / dim)
    if not scaling:
        return frequency
    context = scaling["original_max_position_embeddings"]

    def pair(rotations):
        return dim * math.log(context / (rotations * 2 * math.pi)) / (2 * math.log(theta))

    low = max(math.floor(pair(scaling.get("beta_fast", 32))), 0)
    high = min(math.ceil(pair(scaling.get("beta_slow", 1))), dim - 1)
    ramp = np.clip((np.arange(dim // 2) - low) / max(high - low, 0.001), 0, 1)
    return frequency / scaling["factor"] * ramp + frequency * (1 - ramp)


def rope(x, frequency, magnitude):
    """x [T, …, dim], neighbours paired."""
    angle = np.arange(x.shape[0])[:, None] * frequency  # [T, dim / 2]
    angle = angle.reshape(x.shape[0], *[1] * (x.ndim - 2), -1)
    cos, sin = np.cos(angle) * magnitude, np.sin(angle) * magnitude
    out = np.empty_like(x)
    out[..., 0::2] = x[..., 0::2] * cos - x[..., 1::2] * sin
    out[..., 1::2] = x[..., 0::2] * sin + x[..., 1::2] * cos
    return out


def yarn_of(config):
    """(theta, scaling or None) from either generation of config.json."""
    scaling = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = scaling.get("rope_theta", config.get("rope_theta", 10000.0))
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    assert kind in ("default", "yarn"), kind
    return theta, scaling if kind == "yarn" else None


def attention(config, get, x):
    heads, nope, rotated = config["num_attention_heads"], config["qk_nope_head_dim"], config["qk_rope_head_dim"]
    value, rank, eps = config["v_head_dim"], config["kv_lora_rank"], config["rms_norm_eps"]
    tokens = x.shape[0]
    if config.get("q_lora_rank"):
        q = rms_norm(x @ get("q_a_proj").T, get("q_a_layernorm"), eps) @ get("q_b_proj").T
    else:
        q = x @ get("q_proj").T
    q = q.reshape(tokens, heads, nope + rotated)
    kv = x @ get("kv_a_proj_with_mqa").T  # [T, rank + rotated]
    latent = rms_norm(kv[:, :rank], get("kv_a_layernorm"), eps)
    up = (latent @ get("kv_b_proj").T).reshape(tokens, heads, nope + value)

    theta, yarn = yarn_of(config)
    frequency = yarn_frequencies(rotated, theta, yarn)
    scale, magnitude = (nope + rotated) ** -0.5, 1.0
    if yarn:
        m = mscale(yarn["factor"], yarn.get("mscale_all_dim", 0))
        scale *= m * m
        magnitude = mscale(yarn["factor"], yarn.get("mscale", 1)) / m
    q_rope = rope(q[:, :, nope:], frequency, magnitude)
    k_rope = rope(kv[:, rank:], frequency, magnitude)  # one key for all heads

    scores = np.einsum("thd,shd->hts", q[:, :, :nope], up[:, :, :nope]) + np.einsum("thd,sd->hts", q_rope, k_rope)
    scores = np.where(np.tril(np.ones((tokens, tokens), bool)), scores * scale, -np.inf)
    out = np.einsum("hts,shd->thd", softmax(scores), up[:, :, nope:])
    return out.reshape(tokens, heads * value) @ get("o_proj").T


def best(values, count):
    """Indices of the largest, ties by the lowest index."""
    return np.argsort(-values, kind="stable")[:count]


def route(config, logits, bias):
    """One token: (expert, weight) pairs, and by how much the choice was made (the smallest gap passed over)."""
    v3 = config["model_type"] == "deepseek_v3"
    experts, used = config["n_routed_experts"], config["num_experts_per_tok"]
    scores = 1 / (1 + np.exp(-logits)) if v3 else softmax(logits)
    choice = scores + (bias if v3 else 0)
    groups, margin = config.get("n_group") or 1, np.inf
    grouped = v3 or config.get("topk_method", "greedy") == "group_limited_greedy"
    if grouped and groups > 1:
        by_group = np.sort(choice.reshape(groups, -1), axis=1)
        group_scores = by_group[:, -2:].sum(1) if v3 else by_group[:, -1]
        kept = best(group_scores, config["topk_group"])
        ordered = np.sort(group_scores)[::-1]
        if config["topk_group"] < groups:
            margin = ordered[config["topk_group"] - 1] - ordered[config["topk_group"]]
        mask = np.full(groups, -np.inf)
        mask[kept] = 0
        choice = choice + np.repeat(mask, experts // groups)
    chosen = best(choice, used)
    ordered = np.sort(choice)[::-1]
    if used < experts:
        margin = min(margin, ordered[used - 1] - ordered[used])
    weights = scores[chosen]
    if config.get("norm_topk_prob", v3):
        weights = weights / weights.sum()
    return chosen, weights * config["routed_scaling_factor"], margin


def mlp(x, gate, up, down):
    return (silu(x @ gate.T) * (x @ up.T)) @ down.T


def experts(config, get, x, margins):
    out = np.empty_like(x)
    logits = x @ get("gate").T
    bias = get("gate.e_score_correction_bias") if config["model_type"] == "deepseek_v3" else None
    for t in range(x.shape[0]):
        chosen, weights, margin = route(config, logits[t], bias)
        margins.append(margin)
        out[t] = sum(w * mlp(x[t], *[get(f"experts.{e}.{part}_proj") for part in ("gate", "up", "down")])
                     for e, w in zip(chosen, weights))
    if config.get("n_shared_experts"):
        out += mlp(x, *[get(f"shared_experts.{part}_proj") for part in ("gate", "up", "down")])
    return out


def forward(config, tensors, tokens, margins=None):
    """Logits [T, vocabulary] in float64. `margins`: a list that takes how clearly each token's experts were chosen."""
    margins = [] if margins is None else margins
    tensors = {name: np.asarray(t, np.float64) for name, t in tensors.items()}

    def of(name):
        return tensors[name if name in tensors else name + ".weight"]

    eps = config["rms_norm_eps"]
    x = of("model.embed_tokens")[tokens]
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        h = rms_norm(x, of(prefix + "input_layernorm"), eps)
        x = x + attention(config, lambda name: of(prefix + "self_attn." + name), h)
        h = rms_norm(x, of(prefix + "post_attention_layernorm"), eps)
        get = lambda name: of(prefix + "mlp." + name)
        if layer < config["first_k_dense_replace"]:
            x = x + mlp(h, *[get(f"{part}_proj") for part in ("gate", "up", "down")])
        else:
            x = x + experts(config, get, h, margins)
    return rms_norm(x, of("model.norm"), eps) @ of("lm_head").T
