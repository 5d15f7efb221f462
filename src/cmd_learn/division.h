#pragma once

#include <string>
#include <vector>

#include "cmd_learn/labelled_rows.h"
#include "detect/manifest.h"

// Which rows of tables a detector was not shown, told between the verb that leaves them and the one that
// takes them.
namespace nidus::cmd {

// Of --hold-out and what goes with it; `label` is the column that was taken.
detect::Manifest::TrainedOn::HoldOut division_of(const LabelArguments& labels, const std::string& label);

// The same rows: the words mean the same, and where they hold out a share, it is one of the same rows in the
// same order.
bool divide_alike(const detect::Manifest::TrainedOn::HoldOut& a, const std::vector<std::string>& inputs_a,
                  const detect::Manifest::TrainedOn::HoldOut& b, const std::vector<std::string>& inputs_b);

// "--hold-out 0.3 --hold-out-seed 1"
std::string words_of(const detect::Manifest::TrainedOn::HoldOut& division);

// The arguments with this division in the place of their own.
LabelArguments divided_as(const detect::Manifest::TrainedOn::HoldOut& division, LabelArguments labels);

// What is to be said of an input that the detector learnt from; nothing if what is judged was held out.
// `judged` is how the inputs are divided now.
std::string warning_of_input(const std::string& input, const std::vector<std::string>& inputs,
                             const detect::Manifest::TrainedOn& learnt,
                             const detect::Manifest::TrainedOn::HoldOut& judged);

}  // namespace nidus::cmd
