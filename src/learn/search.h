#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "learn/boost_trainer.h"
#include "learn/dataset.h"
#include "learn/forest_trainer.h"
#include "learn/progress.h"

namespace nidus::learn {

// An estimator with its settings. Of the options only those of `kind` count, and their threads, checkpoint
// and progress are the caller's business.
struct Candidate {
  enum class Kind : std::uint8_t { forest, extra_trees, boost };
  Kind kind = Kind::forest;
  ForestOptions forest;
  BoostOptions boost;

  // As the options of `nidus train`: "--model boost --rounds 200 --depth 8 …".
  std::string describe() const;
};

struct SearchOptions {
  std::vector<Candidate::Kind> kinds = {Candidate::Kind::forest, Candidate::Kind::boost};
  Candidate defaults;  // what is drawn replaces settings in here; itself tried first, once for each kind
  std::size_t candidates = 27;  // at the start
  std::size_t folds = 3;
  std::size_t keep_one_in = 3;
  std::size_t rows_least = 3000;  // on fewer rows no candidate is judged, unless there are no more
  double minutes = 10;            // then the search ends, also in the middle of a trial
  std::uint64_t seed = 1;
  std::size_t threads = 0;  // 0: all processors
  // One for each row: rows of a group are judged by models that saw none of the group. Empty: by class only.
  std::span<const std::uint32_t> groups;
  // A file that takes each trial as it is finished, and from which the same search goes on; see Checkpoint.
  // More minutes than before are the same search, and those it had count.
  std::filesystem::path checkpoint;  // empty: none
  Progress progress;                 // may be empty
  std::function<double()> clock;     // seconds since whenever; empty: the steady clock
};

// One candidate on the rows of one round.
struct Trial {
  Candidate candidate;
  std::size_t round = 0;
  std::size_t rows = 0;
  double score = 0;
  double seconds = 0;
};

struct SearchResult {
  Candidate best;
  std::vector<Trial> trials;  // as they were made
  std::size_t resumed = 0;    // of them, how many came from the checkpoint
  bool out_of_time = false;   // the best of what could be tried; with more time it might be another
};

// Successive halving (Jamieson and Talwalkar 2016): all candidates on a part of the rows, the best third of
// them on three times as many, and so on, until the last few are judged on all. A trial fits the candidate on
// all folds but one and lets it score that one, for each fold; its score is the average precision of each
// class against the rest over all these scores together, averaged over the classes. The rows of a round are a
// seeded part of each class, at least 50 of it; a row is in the same fold in every round.
//
// The same outcome for the same rows, options and seed if the time suffices. Without time for one whole
// trial, the defaults. A search that was stopped or killed goes on from its checkpoint and makes the choices
// it would have made; a kill loses the trial under way and its time.
//
// Errc::invalid for options without sense or when a fold is without two classes to learn from,
// Errc::exhausted when progress said stop, Errc::io for a checkpoint that cannot be written, Errc::corrupt
// for one that was tampered with.
Result<SearchResult> search(const Dataset& training, const SearchOptions& options);

}  // namespace nidus::learn
