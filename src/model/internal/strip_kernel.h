// The text of every kernel. Included once by each source that defines
//   STRIP_NAME     a string
//   STRIP_BYTES    how many bytes of a column a strip has
//   STRIP_VECTOR   how many bytes a vector register has
//   STRIP_TARGET   the attribute that lets the compiler use the instructions
//   STRIP_BELOW    how many of 8 ascending floats are below x: unsigned (const float*, float)
// No include guard: one source may include it for two widths, each within a namespace of its own.

using Bytes = std::int8_t __attribute__((vector_size(STRIP_VECTOR)));
using BytesAnywhere = std::int8_t __attribute__((vector_size(STRIP_VECTOR), aligned(1), may_alias));
using Words = std::int16_t __attribute__((vector_size(STRIP_VECTOR)));
using WordsAnywhere = std::int16_t __attribute__((vector_size(STRIP_VECTOR), aligned(1), may_alias));

// What is called from within must be part of its caller: vectors this wide have no other way in or out.
#define STRIP_INLINE STRIP_TARGET inline __attribute__((always_inline))

// The layers of a column, looked up once for many values. kLayers is 0 where their number is not known.
template <std::size_t kLayers>
struct Layers {
  const float* at[kLayers == 0 ? RankColumn::kLayersMax : kLayers] = {};
  std::size_t count;

  Layers(const RankColumn& column, const float* cuts) : count(kLayers == 0 ? column.layers : kLayers) {
    for (std::size_t i = 0; i < count; ++i) at[i] = cuts + column.at[i];
  }
};

template <std::size_t kLayers>
STRIP_INLINE std::size_t rank_in(const Layers<kLayers>& layers, float x) {
  const std::size_t count = kLayers == 0 ? layers.count : kLayers;
  std::size_t rank = STRIP_BELOW(layers.at[0], x);
  for (std::size_t i = 1; i < count; ++i) {
    const std::size_t block = rank * RankColumn::kBlock;
    rank = block + STRIP_BELOW(layers.at[i] + block, x);
  }
  return rank;
}

// Nothing is below NaN, so its rank comes out as 0 until what is missing is added.
template <class Rank, std::size_t kLayers>
STRIP_TARGET inline void rank_column(const TreeKernel::Rows& in, const RankColumn& column, Rank flip,
                                     Rank* to) {
  const float* from = in.rows + column.feature;
  const Layers<kLayers> layers(column, in.cuts);
  if (in.count == 1) {
    *to = static_cast<Rank>((rank_in<kLayers>(layers, *from) + (*from != *from ? column.missing : 0)) ^ flip);
    return;
  }
  const std::size_t stride = in.columns.size() * in.lanes, inputs = in.inputs, missing = column.missing;
  for (std::size_t first = 0; first < in.count; first += in.lanes, to += stride) {
    const std::size_t some = in.count - first < in.lanes ? in.count - first : in.lanes;
    if (missing == 0) {
      for (std::size_t lane = 0; lane < some; ++lane, from += inputs)
        to[lane] = static_cast<Rank>(rank_in<kLayers>(layers, *from) ^ flip);
    } else {
      for (std::size_t lane = 0; lane < some; ++lane, from += inputs) {
        const float x = *from;
        to[lane] = static_cast<Rank>((rank_in<kLayers>(layers, x) + (x != x ? missing : 0)) ^ flip);
      }
    }
  }
}

template <class Rank>
STRIP_TARGET void rank_rows(const TreeKernel::Rows& in, Rank flip, Rank* strips) {
  for (const RankColumn& column : in.columns) {
    switch (column.layers) {
      case 1:
        rank_column<Rank, 1>(in, column, flip, strips);
        break;
      case 2:
        rank_column<Rank, 2>(in, column, flip, strips);
        break;
      case 3:
        rank_column<Rank, 3>(in, column, flip, strips);
        break;
      case 4:
        rank_column<Rank, 4>(in, column, flip, strips);
        break;
      default:
        rank_column<Rank, 0>(in, column, flip, strips);
        break;
    }
    strips += in.lanes;
  }
}

// Every node of a tree is asked of all rows of a strip at once, and the answers are folded upwards: at each
// node a row keeps the number it got from the child that it belongs to. For a tree of depth 6 these are 63
// comparisons and 31 choices for 32 rows or more, without a step that waits for the one before it. The number
// is minus what is gone left: for each level that sends the row left, 2 to the power of the levels below it.
// It is counted without a sign, as eight levels do not fit into a byte with one.
template <class Vector>
struct Unsigned {
  using Lane = std::make_unsigned_t<std::remove_cvref_t<decltype(Vector{}[0])>>;
  typedef Lane Type __attribute__((vector_size(sizeof(Vector))));
};

template <class Vector, class Anywhere, std::size_t kHeight>
STRIP_INLINE typename Unsigned<Vector>::Type fold(const FullNode* tree, std::size_t at,
                                                  const std::uint8_t* strip) {
  using Lane = std::remove_cvref_t<decltype(Vector{}[0])>;
  const FullNode& node = tree[at];
  const Vector ranks =
      *reinterpret_cast<const Anywhere*>(strip + std::size_t{node.offset} * (STRIP_BYTES / kOffsetUnit));
  const Vector cut = Vector{} + static_cast<Lane>(node.cut);
  const Vector left = cut > ranks;
  if constexpr (kHeight == 1) {
    return reinterpret_cast<typename Unsigned<Vector>::Type>(left);
  } else {
    using Count = typename Unsigned<Vector>::Lane;
    const auto below_left =
        fold<Vector, Anywhere, kHeight - 1>(tree, 2 * at + 1, strip) - static_cast<Count>(1 << (kHeight - 1));
    const auto below_right = fold<Vector, Anywhere, kHeight - 1>(tree, 2 * at + 2, strip);
    return left ? below_left : below_right;
  }
}

template <class Vector, class Anywhere, std::size_t kDepth>
STRIP_TARGET void fold_strips(const FullNode* tree, const std::uint8_t* strips, std::size_t stride,
                              std::size_t count, std::uint8_t* leaves) {
  using Count = typename Unsigned<Vector>::Lane;
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t part = 0; part < STRIP_BYTES; part += STRIP_VECTOR) {
      const auto gone_left = fold<Vector, Anywhere, kDepth>(tree, 0, strips + i * stride + part);
      *reinterpret_cast<Anywhere*>(leaves + i * STRIP_BYTES + part) =
          reinterpret_cast<Vector>(gone_left + static_cast<Count>((1 << kDepth) - 1));
    }
  }
}

template <class Vector, class Anywhere>
void fold_depth(const FullNode* tree, std::size_t depth, const std::uint8_t* strips, std::size_t stride,
                std::size_t count, std::uint8_t* leaves) {
  using Fold = void (*)(const FullNode*, const std::uint8_t*, std::size_t, std::size_t, std::uint8_t*);
  static constexpr Fold kFolds[kFullDepthMax] = {
      fold_strips<Vector, Anywhere, 1>, fold_strips<Vector, Anywhere, 2>, fold_strips<Vector, Anywhere, 3>,
      fold_strips<Vector, Anywhere, 4>, fold_strips<Vector, Anywhere, 5>, fold_strips<Vector, Anywhere, 6>,
      fold_strips<Vector, Anywhere, 7>, fold_strips<Vector, Anywhere, 8>};
  kFolds[depth - 1](tree, strips, stride, count, leaves);
}

inline void full8(const FullNode* tree, std::size_t depth, const std::uint8_t* strips, std::size_t stride,
                  std::size_t count, std::uint8_t* leaves) {
  fold_depth<Bytes, BytesAnywhere>(tree, depth, strips, stride, count, leaves);
}

inline void full16(const FullNode* tree, std::size_t depth, const std::uint16_t* strips, std::size_t stride,
                   std::size_t count, std::uint16_t* leaves) {
  fold_depth<Words, WordsAnywhere>(tree, depth, reinterpret_cast<const std::uint8_t*>(strips), stride, count,
                                   reinterpret_cast<std::uint8_t*>(leaves));
}

inline constexpr TreeKernel kKernel = {
    STRIP_NAME, STRIP_BYTES, rank_rows<std::uint8_t>, rank_rows<std::uint16_t>, full8, full16};

#undef STRIP_INLINE
#undef STRIP_BYTES
#undef STRIP_VECTOR
#undef STRIP_NAME
