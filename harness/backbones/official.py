"""Official checkpoints: their names for parameters, and ours."""

from collections.abc import Mapping

from torch import Tensor

VSE_INFINITY: dict[str, str] = {
    "0.fc": "regions_to_vectors.linear",
    "0.mlp.layers.0": "regions_to_vectors.hidden",
    "0.mlp.bns.0": "regions_to_vectors.norm",
    "0.mlp.layers.1": "regions_to_vectors.output",
    "0.gpool.gru": "image_pool.gru",
    "0.gpool.linear": "image_pool.score",
    "1.embed": "words_to_states.embedding",
    "1.rnn": "words_to_states.gru",
    "1.gpool.gru": "text_pool.gru",
    "1.gpool.linear": "text_pool.score",
}
NAMES = {"vse_infinity": VSE_INFINITY}
UNUSED = {"vse_infinity": ("0.mlp.bns.1",)}


def from_official(backbone: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    ours = {}
    for name, tensor in tensors.items():
        module, _, parameter = name.rpartition(".")
        if module in UNUSED[backbone]:
            continue
        ours[f"{NAMES[backbone][module]}.{parameter}"] = tensor
    return ours

SGRAF: dict[str, str] = {
    "0.fc": "regions_to_vectors",
    "1.embed": "words_to_states.embedding",
    "1.cap_rnn": "words_to_states.gru",
    "2.v_global_w.embedding_local.0": "image_attention.local",
    "2.v_global_w.embedding_local.1": "image_attention.local_norm",
    "2.v_global_w.embedding_global.0": "image_attention.mean",
    "2.v_global_w.embedding_global.1": "image_attention.mean_norm",
    "2.v_global_w.embedding_common.0": "image_attention.common",
    "2.t_global_w.embedding_local.0": "text_attention.local",
    "2.t_global_w.embedding_global.0": "text_attention.mean",
    "2.t_global_w.embedding_common.0": "text_attention.common",
    "2.sim_tranloc_w": "local_alignment",
    "2.sim_tranglo_w": "global_alignment",
    "2.sim_eval_w": "score",
    "2.SAF_module.attn_sim_w": "filter",
    "2.SAF_module.bn": "filter_norm",
}
for k in range(9):
    for a,b in (("graph_query_w","query"),("graph_key_w","key"),("sim_graph_w","output")):
        SGRAF[f"2.SGR_module.{k}.{a}"]=f"graph.{k}.{b}"
NAMES.update(saf=SGRAF, sgr=SGRAF); UNUSED.update(saf=(),sgr=())
