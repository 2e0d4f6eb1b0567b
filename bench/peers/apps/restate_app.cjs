// A Restate service: handlers whose steps are journalled by the Restate server.
//
//     PORT=9080 node restate_app.cjs

const restate = require("@restatedev/restate-sdk");

const ANSWER = "Your order is on its way.";
const STEPS = 5;

// Answers, as a model would.
const agent = async () => ANSWER;

const runs = restate.service({
  name: "Runs",
  handlers: {
    // One agent, one answer.
    simple: async (ctx, { question }) => ({
      answer: await ctx.run("agent", () => agent(question)),
    }),

    // Five steps in sequence.
    steps: async (ctx, { question }) => {
      let answer = "";
      for (let step = 1; step <= STEPS; step += 1) {
        answer = await ctx.run(`step${step}`, () => agent(question));
      }
      return { answer };
    },
  },
});

restate.serve({ services: [runs], port: Number(process.env.PORT) });
