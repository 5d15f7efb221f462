#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/model.h"
#include "model/schema.h"
#include "model/transform.h"

// Files of other programs, in terms of ours. Every reader is inert: it builds values out of bytes, and
// nothing that a file says is ever run.
namespace nidus::interop {

// What a foreign file, or one object in it, turned out to be. A value.
struct Artefact {
  enum class Kind : std::uint8_t {
    model,      // it judges rows
    transform,  // it prepares them: a scaler, an encoder, a chain of such
    texts,      // names of features or classes
    numbers,    // a threshold, an array of errors
    bundle,     // several of these by name, or by position ("0", "1")
    other,      // something that is no part of a detector; `origin` says what
  };

  struct Member;

  Kind kind = Kind::other;
  std::string origin;  // what wrote it and what it is there: "scikit-learn 1.6.1 RandomForestClassifier"

  std::shared_ptr<const model::Model> model;
  std::shared_ptr<const model::Transform> transform;
  std::vector<std::string> texts;
  std::vector<double> numbers;
  std::vector<Member> members;

  // Of models and transforms, as far as the file tells. Columns of a model: as many as it has inputs, or
  // none; numeric ones without names (empty) where only their number or vocabularies are known.
  model::Schema columns;
  // By class number, spelled as there ("0", "BENIGN"): two for a model with one probability a row. Empty if
  // the file does not name them.
  std::vector<std::string> classes;
  // A row is an attack, or anomalous, when its score is greater; where the file has its own line.
  std::optional<double> threshold;
  // What a person should know before trusting the scores: "trained with early stopping; all 120 trees are
  // used".
  std::vector<std::string> notes;
};

struct Artefact::Member {
  std::string name;
  Artefact artefact;
};

}  // namespace nidus::interop
