import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.Permission;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * The real mqadmin inside this process, so that many commands share one start of the virtual machine.
 *
 * <p>Credentials come as they do for the command line: from {@code conf/tools.yml}, which mqadmin reads for each command.
 */
final class Mqadmin {
    private Mqadmin() {
    }

    /** Stops mqadmin from ending this process: it calls {@code System.exit} when it cannot parse its arguments. */
    @SuppressWarnings("removal")
    private static final class NoExit extends SecurityManager {
        @Override
        public void checkExit(int status) {
            throw new SecurityException("exit " + status);
        }

        @Override
        public void checkPermission(Permission permission) {
            // all else is as it is without a security manager
        }
    }

    /**
     * Wakes the thread for which the shutdown of a client waits up to three seconds.
     *
     * <p>Some commands never end: after {@code seconds}, unless 0, the command itself is interrupted.
     */
    private static Thread hurry(Thread command, long seconds) {
        long end = System.nanoTime() + seconds * 1_000_000_000L;
        Thread thread = new Thread(() -> {
            try {
                while (true) {
                    Thread.sleep(50);
                    boolean closing = Arrays.stream(command.getStackTrace())
                        .anyMatch(frame -> frame.getClassName().endsWith(".ServiceThread") && frame.getMethodName().equals("shutdown"));
                    if (closing) {
                        Thread.getAllStackTraces().keySet().stream()
                            .filter(one -> one.getName().endsWith("NettyEventExecutor")).forEach(Thread::interrupt);
                    } else if (seconds > 0 && System.nanoTime() > end) {
                        command.interrupt();
                        Thread.sleep(1000);
                    }
                }
            } catch (InterruptedException ended) {
                // the command has ended
            }
        });
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    @SuppressWarnings("removal")
    static void run(Step step, Map<String, Object> answer) throws Exception {
        Path tools = Path.of(System.getProperty("rocketmq.home.dir"), "conf", "tools.yml");
        Files.createDirectories(tools.getParent());
        Files.deleteIfExists(tools);
        if (step.arguments.containsKey("user")) {
            Files.writeString(tools, "accessKey: \"" + step.get("user") + "\"\nsecretKey: \"" + step.get("secret") + "\"\n");
        }
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        PrintStream oldOut = System.out;
        PrintStream oldErr = System.err;
        Thread hurrying = hurry(Thread.currentThread(), Long.parseLong(step.arguments.getOrDefault("seconds", "0")));
        System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
        System.setSecurityManager(new NoExit());
        try {
            Class<?> startup = Class.forName("org.apache.rocketmq.tools.command.MQAdminStartup");
            // Commands keep their producers and consumers, which serve once: each run must begin with new ones.
            Field commands = startup.getDeclaredField("SUB_COMMANDS");
            commands.setAccessible(true);
            ((List<?>) commands.get(null)).clear();
            String words = step.arguments.getOrDefault("arguments", "");
            startup.getMethod("main", String[].class).invoke(null, (Object) (words.isEmpty() ? new String[0] : words.split("\u001f")));
        } catch (InvocationTargetException failure) {
            if (!(failure.getCause() instanceof SecurityException)) {
                throw failure;
            }
        } finally {
            hurrying.interrupt();
            hurrying.join();
            Thread.interrupted();
            System.setSecurityManager(null);
            System.setOut(oldOut);
            System.setErr(oldErr);
        }
        answer.put("out", out.toString(StandardCharsets.UTF_8));
        answer.put("err", err.toString(StandardCharsets.UTF_8));
    }
}
