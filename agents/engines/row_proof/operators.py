"""The operators whose rules are known.

A list of what is known to be safe: what is not on it (control flow, shapes, sequences, randomness, operators of others)
is not.
"""

from collections.abc import Mapping

from agents.engines.row_proof import rules


def _by(rule: rules.Rule, names: str) -> dict[str, rules.Rule]:
    return dict.fromkeys(names.split(), rule)


STANDARD: Mapping[str, rules.Rule] = {
    **_by(
        rules.each_value,
        "Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor"
        " Cast Ceil Celu Clip Cos Cosh Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid"
        " HardSwish Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or"
        " PRelu Pow Reciprocal RegexFullMatch Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign"
        " Sqrt StringConcat Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor",
    ),
    **_by(
        rules.image,
        "AveragePool Conv ConvTranspose DepthToSpace GlobalAveragePool GlobalLpPool GlobalMaxPool GroupNormalization"
        " InstanceNormalization LRN LpPool MaxPool SpaceToDepth",
    ),
    **_by(rules.along_axis(-1), "Hardmax LogSoftmax LpNormalization Softmax"),
    **_by(rules.layer_norm, "LayerNormalization RMSNormalization"),
    **_by(
        rules.reduce,
        "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum"
        " ReduceSumSquare",
    ),
    **_by(rules.arg, "ArgMax ArgMin"),
    **_by(rules.quantise, "DequantizeLinear QuantizeLinear"),
    "BatchNormalization": rules.batch_norm,
    "Concat": rules.concat,
    "CumSum": rules.cumulate,
    "Dropout": rules.dropout,
    "Expand": rules.expand,
    "Flatten": rules.flatten,
    "Gather": rules.gather,
    "GatherElements": rules.gather_elements,
    "Gemm": rules.gemm,
    "MatMul": rules.matmul,
    "OneHot": rules.one_hot,
    "Pad": rules.pad,
    "Reshape": rules.reshape,
    "Slice": rules.cut,
    "Split": rules.split,
    "Squeeze": rules.squeeze,
    "TfIdfVectorizer": rules.table(2),
    "Tile": rules.tile,
    "TopK": rules.top_k,
    "Transpose": rules.transpose,
    "Trilu": rules.lower_triangle,
    "Unsqueeze": rules.unsqueeze,
}
CLASSICAL: Mapping[str, rules.Rule] = {
    **_by(rules.table(1, 2), "LinearClassifier SVMClassifier TreeEnsembleClassifier"),
    **_by(
        rules.table(2),
        "Binarizer FeatureVectorizer Imputer LinearRegressor Normalizer SVMRegressor Scaler TreeEnsemble"
        " TreeEnsembleRegressor",
    ),
    **_by(rules.each_value, "CategoryMapper LabelEncoder"),
    "ArrayFeatureExtractor": rules.features,
    "OneHotEncoder": rules.one_hot_feature,
}
MAKERS = frozenset({"Constant", "ConstantOfShape", "EyeLike", "Range", "Shape", "Size"})  # of what is fixed
