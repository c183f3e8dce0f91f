# Remake tests/reference/inference/covariances/r.json: robust covariances by R's sandwich. Run from the root of the repository:
#   Rscript tests/reference/make_covariances.R
# Every model has its formula for R and for jaxglm, its data, and the data's clusters: `one` and `two` are made from the
# number of the row, `when` orders the rows anew.

suppressMessages({library(MASS); library(sandwich); library(jsonlite)})

folder <- "tests/reference"
control <- glm.control(epsilon = 1e-14, maxit = 100)

read <- function(file) {
  data <- head(read.csv(file.path(folder, file), stringsAsFactors = TRUE), 900)
  for (name in intersect(c("year", "period"), names(data))) data[[name]] <- factor(data[[name]])
  i <- seq_len(nrow(data)) - 1
  data$one <- (7 * i) %% 11
  data$two <- floor(9 * i / nrow(data))
  data$when <- sin(i + 1)
  data
}

# glm() stops by the deviance, which does not see the last digits of coefficients: more steps of Fisher scoring.
settle <- function(model) {
  for (k in 1:25) model <- suppressWarnings(update(model, start = coef(model)))
  model
}

covariances <- function(model, data) {
  two <- data[, c("one", "two")]
  list(
    HC0 = vcovHC(model, type = "HC0"), HC1 = vcovHC(model, type = "HC1"),
    HC2 = vcovHC(model, type = "HC2"), HC3 = vcovHC(model, type = "HC3"),
    cluster = vcovCL(model, cluster = data$one, type = "HC1"),
    two_way = vcovCL(model, cluster = two, type = "HC1"),
    two_way_fixed = vcovCL(model, cluster = two, type = "HC1", fix = TRUE),
    hac = NeweyWest(model, lag = 3, prewhite = FALSE, adjust = FALSE),
    hac_ordered = NeweyWest(model, lag = 3, prewhite = FALSE, adjust = TRUE, order.by = data$when)
  )
}

ships <- read("shared/data/ships.csv"); ships <- ships[ships$service > 0, ]
wage <- read("shared/data/wage1.csv")
snails <- read("shared/data/snails.csv")
swiss <- read("shared/data/swisslabor.csv")
trees <- read("shared/data/trees.csv")
schools <- read("shared/data/caschools.csv")
employees <- read("r/data/employees.csv")
medpar <- read("shared/data/medpar.csv"); medpar$type <- factor(medpar$type)

case <- function(id, file, formula, model, data, family, link = NULL, ...) {
  if (!inherits(model, "negbin")) model <- settle(model)
  c(list(id = id, file = file, formula = formula, family = family, link = link, ...,
         coef = unname(coef(model))), lapply(covariances(model, data), unname))
}

cases <- list(
  case("logit", "r/data/employees.csv", "left ~ salary + experience_years + overtime_hours",
       glm(left ~ salary + experience_years + overtime_hours, binomial, employees, control = control), employees, "binomial"),
  case("probit", "shared/data/swisslabor.csv", "works ~ income + age + education",
       glm(works ~ income + age + education, binomial("probit"), swiss, control = control), swiss, "binomial", "probit"),
  case("cloglog counts with offset", "shared/data/snails.csv", "cbind(dead, alive) ~ temp + humidity + offset(log_exposure)",
       glm(cbind(dead, alive) ~ temp + humidity + offset(log_exposure), binomial("cloglog"), snails, control = control),
       snails, "binomial", "cloglog"),
  case("poisson with offset", "shared/data/ships.csv", "incidents ~ C(type) + C(year) + C(period) + offset(log_service)",
       glm(incidents ~ type + year + period + offset(log_service), poisson, ships, control = control), ships, "poisson"),
  case("quasi-poisson", "shared/data/ships.csv", "incidents ~ C(type) + C(period) + offset(log_service)",
       glm(incidents ~ type + period + offset(log_service), quasipoisson, ships, control = control), ships, "quasipoisson"),
  case("gamma log with weights", "shared/data/wage1.csv", "wage ~ educ + exper + C(region)",
       glm(wage ~ educ + exper + region, Gamma("log"), wage, weights = tenure + 1, control = control), wage,
       "gamma", "log", weights = "tenure + 1"),
  case("gamma inverse", "shared/data/wage1.csv", "wage ~ educ + exper",
       glm(wage ~ educ + exper, Gamma("inverse"), wage, control = control), wage, "gamma"),
  case("inverse gaussian", "shared/data/trees.csv", "Volume ~ log(Girth) + log(Height)",
       glm(Volume ~ log(Girth) + log(Height), inverse.gaussian("log"), trees, control = control), trees,
       "inverse_gaussian", "log"),
  case("gaussian with weights", "shared/data/caschools.csv", "read ~ str * grades + english + lunch",
       glm(read ~ str * grades + english + lunch, gaussian, schools, weights = students, control = control), schools,
       "gaussian", weights = "students"),
  case("negative binomial", "shared/data/medpar.csv", "los ~ hmo + white + C(type)",
       glm.nb(los ~ hmo + white + type, medpar, control = control), medpar, "negative_binomial")
)
versions <- list(R = as.character(getRversion()), sandwich = as.character(packageVersion("sandwich")))
write_json(list(versions = versions, cases = cases), file.path(folder, "inference/covariances/r.json"),
           digits = I(15), auto_unbox = TRUE, matrix = "rowmajor", null = "null")
