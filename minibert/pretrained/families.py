"""Whose encoder is it? The configuration of a model's folder, and why relatives of BERT are refused."""

from __future__ import annotations

import os
from pathlib import Path

from minibert.config import BertConfig
from minibert.files import brief, read_json

CONFIG, OLD_CONFIG = "config.json", "bert_config.json"

#: model_type -> what is different in it, for those that are often taken for a BERT.
RELATIVES = {
    "roberta": "it reads byte-level BPE instead of WordPiece, and its positions begin at 2",
    "xlm-roberta": "it reads SentencePiece instead of WordPiece, and its positions begin at 2",
    "camembert": "it reads SentencePiece instead of WordPiece, and its positions begin at 2",
    "albert": "all its layers share one set of weights, and its embeddings are factorised",
    "distilbert": "its encoder has no token types and no pooler, and its layers have other names",
    "electra": "its embeddings have a size of their own and pass through a projection",
    "mobilebert": "its layers are bottlenecks with other norms",
    "mpnet": "its attention adds relative positions",
    "deberta": "its attention separates content and position",
    "deberta-v2": "its attention separates content and position",
    "modernbert": "it has rotary positions, gated feed-forward layers and local attention",
    "nomic_bert": "it has rotary positions and gated feed-forward layers",
    "big_bird": "its attention is sparse",
    "roformer": "it has rotary positions",
    "bert-generation": "it has no token types, and is a decoder as well",
}

#: Keys that say nothing about what the encoder computes: what transformers 2 to 5 writes into a config.json of its own accord
#: (the keys of its PretrainedConfig and BertConfig, the defaults of generation), and the original releases for the pooler.
IDLE = frozenset("""
    architectures model_type transformers_version _name_or_path name_or_path _commit_hash auto_map custom_pipelines
    torch_dtype dtype use_bfloat16 torchscript xla_device tf_legacy_loss
    attn_implementation _attn_implementation _attn_implementation_internal _attn_implementation_autoset
    _experts_implementation_internal experts_implementation base_model_tp_plan base_model_pp_plan
    return_dict output_attentions _output_attentions output_hidden_states output_past use_cache use_return_dict
    gradient_checkpointing chunk_size_feed_forward pruned_heads tie_word_embeddings tie_encoder_decoder tie_last_hidden_states
    is_decoder is_encoder_decoder add_cross_attention cross_attention_hidden_size decoder position_embedding_type
    finetuning_task num_labels id2label label2id problem_type classifier_dropout task_specific_params tokenizer_class prefix
    bos_token_id eos_token_id sep_token_id cls_token_id mask_token_id unk_token_id decoder_start_token_id
    forced_bos_token_id forced_eos_token_id
    max_length min_length max_new_tokens min_new_tokens max_time do_sample early_stopping num_beams num_beam_groups
    diversity_penalty temperature top_k top_p min_p typical_p epsilon_cutoff eta_cutoff penalty_alpha repetition_penalty
    encoder_repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids force_words_ids
    num_return_sequences output_scores output_logits return_dict_in_generate remove_invalid_values renormalize_logits
    exponential_decay_length_penalty suppress_tokens begin_suppress_tokens constraints guidance_scale sequence_bias
    cache_implementation cache_config
    directionality pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head pooler_type
""".split())


def without_effect(config: BertConfig) -> list[str]:
    """The keys of a ``config.json`` that ask for something and have no effect here."""
    return sorted(key for key, value in config.unknown.items()
                  if (key not in IDLE or key == "pruned_heads") and value not in (None, {}, []))


def config_path(folder: Path) -> Path:
    """``config.json``, or the ``bert_config.json`` of the original releases where there is only that."""
    old = folder / OLD_CONFIG
    return old if old.is_file() and not (folder / CONFIG).is_file() else folder / CONFIG


def read_config(path: str | os.PathLike[str]) -> BertConfig:
    """The configuration in a file. ValueError for one of another family, which says what is different in it."""
    path = Path(path)
    kind = read_json(path, dict).get("model_type", "bert")
    if kind != "bert":
        reason = RELATIVES.get(kind) if isinstance(kind, str) else None
        raise ValueError(f"{path}: model_type is {brief(kind)}, not 'bert'. " + (
            f"This family is not read here: {reason}" if reason else "Only models with the encoder of BERT itself are read here"))
    return BertConfig.load(path)
