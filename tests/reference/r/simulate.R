# The simulated data: two small tables, rounded to few digits and read back by the cases.

set.seed(20240607)

simulate_small <- function(n = 120) {
  d <- data.frame(
    x1 = round(runif(n, -1, 1), 3), x2 = round(runif(n, 0.2, 3), 2), x3 = as.integer(rpois(n, 2)),
    f = factor(sample(c("a", "b", "c"), n, replace = TRUE, prob = c(0.4, 0.35, 0.25))),
    g = factor(sample(c("u", "v"), n, replace = TRUE)),
    expo = round(runif(n, 0.5, 4), 2), w = sample(c(0, 0.5, 1, 1.5, 2.25), n, replace = TRUE),
    k = sample(0:4, n, replace = TRUE))
  d$w[c(2, 5)] <- 0
  d$k[1:4] <- c(3L, 1L, 0L, 2L)
  f <- c(a = 0, b = 0.6, c = -0.5)[as.character(d$f)]
  d$log_expo <- log(d$expo)
  d$yes <- rbinom(n, 1, plogis(-0.4 + 0.9 * d$x1 + 0.5 * (d$x2 - 1.5) - 0.2 * d$x3 + f))
  d$yes_low <- rbinom(n, 1, exp(-1.5 + 0.4 * d$x1 + 0.15 * (d$x2 - 1.6) - 0.05 * (d$x3 - 2) + 0.3 * f))
  d$trials <- as.integer(1 + rpois(n, 7))
  d$success <- rbinom(n, d$trials, plogis(-0.2 + 0.8 * d$x1 + 0.4 * (d$x2 - 1.5) - 0.1 * d$x3 + f))
  d$failure <- d$trials - d$success
  d$right <- rbinom(n, d$trials, 0.5 + 0.12 * d$x1 + 0.04 * (d$x2 - 1.6) - 0.03 * (d$x3 - 2) + 0.15 * f)
  d$wrong <- d$trials - d$right
  d$share <- d$success / d$trials
  p <- plogis(-0.3 + 0.7 * d$x1 - 0.4 * (d$x2 - 1.5) + 0.1 * d$x3 + 0.5 * f)
  d$fraction <- pmin(pmax(round(rbeta(n, 6 * p, 6 * (1 - p)), 3), 0.001), 0.999)
  d$count <- rpois(n, exp(0.7 + 0.4 * d$x1 + 0.3 * d$x2 - 0.1 * d$x3 + 0.5 * f))
  d$events <- rpois(n, d$expo * exp(0.2 + 0.4 * d$x1 - 0.3 * d$x2 + 0.1 * d$x3 + 0.5 * f))
  d$level <- round(4 + 0.8 * d$x1 + 0.5 * d$x2 - 0.15 * d$x3 + f + rnorm(n, 0, 0.5), 3)
  d$cost <- round(rgamma(n, 5, 5 / (3 + 0.8 * d$x1 + 0.6 * d$x2 - 0.1 * d$x3 + f)), 3)
  d$time <- round(rinvgauss(n, mean = 2.5 + 0.5 * d$x1 + 0.3 * d$x2 - 0.1 * d$x3 + 0.5 * f, dispersion = 0.05), 3)
  d$dose <- factor(sample(c("low", "mid", "high", "top"), n, replace = TRUE))
  d$claims <- vapply(exp(0.8 + 0.5 * d$x1 + 0.2 * d$x2 + 0.4 * f), function(mu) {
    number <- rpois(1, mu^0.5 / (0.5 * 1.2))
    round(if (number > 0) sum(rgamma(number, 1, scale = 1.2 * 0.5 * mu^0.5)) else 0, 3)
  }, 0)
  d
}

# Columns for aliasing and separation.
simulate_odd <- function(n = 60) {
  d <- data.frame(
    x1 = round(rnorm(n), 2), x2 = round(runif(n, 0, 2), 2),
    f = factor(rep(c("a", "b", "c"), length.out = n)), h = factor(sample(c("u", "v"), n, replace = TRUE)))
  d$h[d$f == "c"] <- "u"
  d$g <- factor(rep(c("p", "q", "q", "p", "p"), length.out = n))
  d$sum12 <- round(d$x1 + 2 * d$x2, 2)
  d$three <- 3L
  d$level <- round(1 + d$x1 - 0.5 * d$x2 + (d$f == "b") + rnorm(n, 0, 0.4), 3)
  d$cost <- round(rgamma(n, 4, 4 / exp(0.5 + 0.3 * d$x1 + 0.2 * d$x2)), 3)
  d$count <- rpois(n, exp(0.8 + 0.3 * d$x1 + 0.4 * (d$f == "b")))
  d$yes <- rbinom(n, 1, plogis(-0.2 + 0.8 * d$x1))
  d$apart <- as.integer(d$x1 + 0.5 * d$x2 > 0.4)
  d$all_c <- ifelse(d$f == "c", 1L, d$yes)
  d$step <- rep(1:6, length.out = n)
  d$at_step <- ifelse(d$step < 3, 0L, ifelse(d$step > 3, 1L, (seq_len(n) %/% 6L) %% 2L))
  d$none_c <- ifelse(d$f == "c", 0L, d$count)
  d$none_bp <- ifelse(d$f == "b" & d$g == "p", 0L, d$count)
  d
}

write_data(simulate_small(), "small")
write_data(simulate_odd(), "odd")
write_data(MASS::quine, "quine")
